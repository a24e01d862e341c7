module-pc-dns := libcares
