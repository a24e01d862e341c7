#include "script/api.h"

static void (*const rows[])(lua_State *lua) = {
    api_value_open,   api_sleep_open,   api_task_open, api_background_open, api_poll_open,
    api_modules_open, api_require_open, api_log_open,  api_coroutine_open,  api_guard_open,
};

void api_open(lua_State *lua)
{
    lua_createtable(lua, 0, 32);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        rows[i](lua);
    lua_setglobal(lua, "spoa");
}
