"""The fast hand: documents, chunks, embeddings, index."""
