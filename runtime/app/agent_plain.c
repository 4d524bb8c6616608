#include "agent_kind.h"

const struct agent_kind agent_kind = {.name = "orrery-agent"};
