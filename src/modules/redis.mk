module-pc-redis := hiredis
