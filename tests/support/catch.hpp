// Catch2, whichever major version the system has: Debian 12 ships version 2, later ones version 3.
#pragma once

#ifdef SYNCLINE_CATCH3
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
