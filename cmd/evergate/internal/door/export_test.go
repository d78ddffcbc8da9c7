package door

// For tests: when things are told and tried again.
var (
	EndsSoon   = endsSoon
	RetryAfter = retryAfter
	Patience   = patience
	Hasten     = hasten
)
