"""What a collection says of its own pictures: a description learned in closed form from features, without labels.

    features (N, F) → copies → neighbours → whitening → regression → Description (one linear map) → codebooks

Plain arrays, NumPy and faiss: no torch, no pictures, no files. Vectors of any origin will do.
"""
