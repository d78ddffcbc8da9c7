package auth

import (
	"encoding/json"
	"time"
)

// seal is v in JSON, sealed for a purpose and a host, to be handed to a browser for ttl.
func (h *Handler) seal(purpose, host string, v any, ttl time.Duration) (string, error) {
	plain, err := marshal(v)
	if err != nil {
		return "", err
	}
	return h.cfg.Sealer.Seal(purpose, host, plain, ttl)
}

// open reads into v what seal made of one like it.
func (h *Handler) open(purpose, host, sealed string, v any) error {
	plain, err := h.cfg.Sealer.Open(purpose, host, sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(plain, v)
}
