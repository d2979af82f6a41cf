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
    return status;
}
