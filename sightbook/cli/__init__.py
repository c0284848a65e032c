"""The command line. Only this room prints and exits; each verb is one small file around a function of another room."""

from sightbook.cli.app import main as main
