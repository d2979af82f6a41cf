#include "message.h"

#include <stdarg.h>
#include <stdio.h>

cylstm_status cylstm_fail(message m, cylstm_status status, const char *format, ...)
{
    va_list arguments;
    if (m.text == NULL || m.size == 0) return status;
    va_start(arguments, format);
    (void)vsnprintf(m.text, m.size, format, arguments);
    va_end(arguments);
    for (char *c = m.text; *c != '\0'; c++) { /* names come from files, and may end up on a terminal */
        if ((unsigned char)*c < ' ' || *c == '\x7F') *c = '?';
    }
    return status;
}
