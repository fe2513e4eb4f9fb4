"""JSON Schemas of the documents that commands write and print, made from `hardener.documents`."""
