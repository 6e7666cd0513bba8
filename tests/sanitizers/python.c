/* Python with a sanitizer's run time in it, which cannot be loaded after the interpreter. In place of LD_PRELOAD, which
 * the phones that tests start would inherit: only what is ours is watched. */
#include <Python.h>

int main(int argc, char **argv)
{
    return Py_BytesMain(argc, argv);
}
