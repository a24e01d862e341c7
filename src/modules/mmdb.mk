module-pc-mmdb := libmaxminddb
