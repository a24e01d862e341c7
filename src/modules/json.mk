module-pc-json := jansson
