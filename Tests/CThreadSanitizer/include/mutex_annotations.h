#pragma once

// Nothing to call: linking this file is enough.
