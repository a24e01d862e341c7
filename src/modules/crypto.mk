module-pc-crypto := libcrypto
