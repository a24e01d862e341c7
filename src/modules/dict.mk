module-pc-dict := lmdb
