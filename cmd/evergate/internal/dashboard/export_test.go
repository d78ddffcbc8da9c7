package dashboard

// For tests.
const (
	Renewed      = renewed
	RenewFailed  = renewFailed
	RenewRefused = renewRefused
)

// Changes is for tests.
var Changes = changes

// Forget has the next page made anew.
func (h *Handler) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.latest = nil
}
