#pragma once

// There is nothing to call: linking this file is enough.
