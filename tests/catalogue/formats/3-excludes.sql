-- library.json: {"format": 3, "fingerprint": "{fingerprint}", "M": 4, "K": 16, "bits": 16, "created": "2026-11-28T02:03:24+00:00"}
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE excludes (
            source TEXT PRIMARY KEY REFERENCES sources (id) ON DELETE CASCADE, globs TEXT NOT NULL
        ) WITHOUT ROWID;
INSERT INTO "excludes" VALUES('0b863a860beb','["003.*"]');
CREATE TABLE failures (
            source TEXT NOT NULL REFERENCES sources (id),
            path TEXT NOT NULL,
            size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, reason TEXT NOT NULL, failed REAL NOT NULL,
            PRIMARY KEY (source, path)
        ) WITHOUT ROWID;
INSERT INTO "failures" VALUES('0b863a860beb','broken.png',15,1700000000000000000,'it is not a picture of a known format',1.79583140510080289846e+09);
CREATE TABLE fine (id INTEGER PRIMARY KEY, code BLOB NOT NULL);
CREATE TABLE left_out (
            source TEXT NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
            reason TEXT NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL, names TEXT NOT NULL,
            PRIMARY KEY (source, reason, what)
        ) WITHOUT ROWID;
INSERT INTO "left_out" VALUES('0b863a860beb','excluded','003.*',1,'["{photos}/003.bmp"]');
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('decoding 0b863a860beb',2);
INSERT INTO "meta" VALUES('fingerprint','{fingerprint}');
INSERT INTO "meta" VALUES('generation',2);
INSERT INTO "meta" VALUES('reader 0b863a860beb','sightbook 0.1.0; pillow 13.0.0; pillow_heif 1.8.1; Guards(megapixels=200, megabytes=100, seconds=60)');
INSERT INTO "meta" VALUES('stamp','2-1287f27aeec4a047');
CREATE TABLE pictures (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            source TEXT NOT NULL REFERENCES sources (id),
            path TEXT NOT NULL,
            size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest BLOB NOT NULL,
            width INTEGER NOT NULL, height INTEGER NOT NULL,
            code BLOB NOT NULL, state INTEGER NOT NULL DEFAULT 0,
            UNIQUE (source, path)
        );
INSERT INTO "pictures" VALUES(1,'0b863a860beb','000.bmp',1254,1700000000000000000,X'F522175AF994948B385ECD6059390572',20,20,X'A802',0);
INSERT INTO "pictures" VALUES(2,'0b863a860beb','001.bmp',1254,1700000000000000000,X'D07F424243AC6DE6E058FDEA2394ECBF',20,20,X'C17E',0);
INSERT INTO "pictures" VALUES(3,'0b863a860beb','002.bmp',1254,1700000000000000000,X'7C0BFBF2019FCE223FB728064ACA2E4B',20,20,X'8548',1);
CREATE TABLE sources (
            id TEXT PRIMARY KEY, kind TEXT NOT NULL, root TEXT NOT NULL UNIQUE, added REAL NOT NULL, scanned REAL
        );
INSERT INTO "sources" VALUES('0b863a860beb','folder','{photos}',1.79583140492007398603e+09,1.79583140513692188265e+09);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('pictures',3);
COMMIT;
