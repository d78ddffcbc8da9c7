package dashboard

// For tests.
const (
	Renewed      = renewed
	RenewFailed  = renewFailed
	RenewRefused = renewRefused
)
