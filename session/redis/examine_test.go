package redis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/evergate/evergate/internal/secret"
	"github.com/evergate/evergate/session/redis"
	"github.com/evergate/evergate/session/redis/redistest"
)

// TestExamine: a server is described as it is, by a user who may do no more than a gateway,
// and nothing is left in it.
func TestExamine(t *testing.T) {
	server := redistest.Start(t, "maxmemory", "100mb", "maxmemory-policy", "allkeys-lru", "appendonly", "yes",
		"user", "gate on >a-password ~eg:* -@all +@read +@write +@scripting +@transaction +@connection +@fast +info")
	got, err := redis.Examine(t.Context(), redis.Options{Addresses: []string{server.Address()}, Prefix: "eg:", Username: "gate",
		Password: func() (secret.Text, error) { return secret.New("a-password"), nil }})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Nodes) != 1 || !got.Tracking || got.Latency <= 0 || got.Skew.Abs() > time.Second+got.SkewWithin {
		t.Fatalf("got %+v", got)
	}
	n := got.Nodes[0]
	if n.Policy != "allkeys-lru" || !n.AOF || n.Role != "master" || n.Major() < 6 || n.Trouble != "" || n.MaxMemory != "104857600" || n.Address != server.Address() {
		t.Errorf("got %+v", n)
	}
	if left := server.CLI("dbsize"); left != "0" {
		t.Errorf("%s keys are left, want none", left)
	}
	server.Kill()
	if _, err := redis.Examine(t.Context(), redis.Options{Addresses: []string{server.Address()}, Timeout: time.Second}); err == nil || !strings.Contains(err.Error(), server.Address()) {
		t.Errorf("a server that is down: got %v, want an error with its address", err)
	}
}

func TestExamineCluster(t *testing.T) {
	var addresses []string
	for _, n := range redistest.Cluster(t) {
		addresses = append(addresses, n.Address())
	}
	got, err := redis.Examine(t.Context(), redis.Options{Addresses: addresses[:1], Prefix: "eg:"})
	if err != nil || len(got.Nodes) != 3 {
		t.Fatalf("got %+v, %v, want three nodes", got, err)
	}
}

// TestExamineBehindSentinels looks at the master that they name.
func TestExamineBehindSentinels(t *testing.T) {
	master, _, sentinels := redistest.Sentinels(t, "eg")
	got, err := redis.Examine(t.Context(), redis.Options{Addresses: []string{sentinels[0].Address()}, Master: "eg", Prefix: "eg:"})
	if err != nil || len(got.Nodes) != 1 || got.Nodes[0].Address != master.Address() || got.Nodes[0].Role != "master" {
		t.Fatalf("got %+v, %v, want the master at %s", got, err, master.Address())
	}
}
