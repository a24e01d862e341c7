module-pc-http := libcurl
