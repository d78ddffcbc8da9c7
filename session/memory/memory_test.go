package memory_test

import (
	"testing"

	"github.com/evergate/evergate/session"
	"github.com/evergate/evergate/session/memory"
	"github.com/evergate/evergate/session/sessiontest"
)

func TestStore(t *testing.T) {
	sessiontest.TestStore(t, func(*testing.T) session.Store { return memory.New() })
}
