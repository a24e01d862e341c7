/*
 * setup: tells curl, option by option, what a request asks for.
 */
#ifndef MODULES_HTTP_SETUP_H
#define MODULES_HTTP_SETUP_H

#include "modules/http/request.h"
#include "modules/http/transfer.h"

/*
 * Sets the transfer up.  The body, headers and routes are read by curl until the transfer has
 * ended.  False when curl refuses the request at once: transfer->result says why.
 */
bool http_setup(const struct http_request *request, struct http_transfer *transfer);

#endif
