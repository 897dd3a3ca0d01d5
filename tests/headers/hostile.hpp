// Names that C headers, window systems and other libraries define as macros.
#define I hostile_macro                       // <complex.h>
#define K hostile_macro
#define N hostile_macro
#define E hostile_macro
#define major(device) hostile_macro           // <sys/sysmacros.h>
#define minor(device) hostile_macro
#define min(a, b) hostile_macro               // <windows.h>
#define max(a, b) hostile_macro
#define small hostile_macro
#define near hostile_macro
#define far hostile_macro
#define interface hostile_macro
#define ERROR hostile_macro
#define IN hostile_macro
#define OUT hostile_macro
#define None hostile_macro                    // <X11/X.h>
#define Bool hostile_macro
#define Status hostile_macro
#define Success hostile_macro
#define True hostile_macro
#define False hostile_macro
#define signals hostile_macro                 // Qt
#define slots hostile_macro
#define foreach hostile_macro
#define CHECK(condition) hostile_macro        // test frameworks, logging libraries
#define REQUIRE(condition) hostile_macro
#define LOG(level) hostile_macro
