package decisions

import "unsafe"

// FactSize is what one decision takes, but for its strings.
const FactSize = unsafe.Sizeof(fact{})
