//go:build e2e && unix

package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/topics"
)

// A process starts from a store that was kept, wiped, copied while it was written, damaged, or left alone for too long:
// each ends in the states of the log, byte for byte, and says what it had to rebuild.
func TestStores(t *testing.T) {
	t.Parallel()
	r := newRun(t, config{Applications: 1})
	f := newFeed(r, "stores")
	p := r.up("reconciler", 1)[0]
	must(t, p.waitReady(t.Context()))
	f.send(600)
	f.decided(nil)
	must(t, p.stop())
	r.sameState(p)
	state := filepath.Join(p.data(), "state")

	// again starts the process on what is there, has it work, and stops it. It returns what it counted.
	again := func(t *testing.T) (heals, old, restored float64) {
		t.Helper()
		must(t, p.start())
		must(t, p.waitReady(t.Context()))
		f.send(100)
		f.decided(nil)
		read := func(name string, labels ...string) float64 {
			n, err := p.metric(t.Context(), name, labels...)
			must(t, err)
			return n
		}
		heals = read("concord_store_heals_total")
		old = read("concord_stream_heals_total", `what="store_old"`)
		restored = read("concord_stream_restored_records_total")
		must(t, p.stop())
		r.sameState(p)
		return heals, old, restored
	}

	t.Run("kept", func(t *testing.T) {
		if heals, old, restored := again(t); heals+old+restored != 0 {
			t.Errorf("%v heals, %v old, %v records restored, want none", heals, old, restored)
		}
	})
	copied := t.TempDir()
	t.Run("kept over kill -9", func(t *testing.T) {
		must(t, p.start())
		must(t, p.waitReady(t.Context()))
		f.send(300)
		copyFolder(t, state, copied)
		f.decided(nil)
		_, err := p.kill()
		must(t, err)
		if heals, old, restored := again(t); heals+old != 0 || restored > 400 {
			t.Errorf("%v heals, %v old, %v records restored, want the tail only", heals, old, restored)
		}
	})
	t.Run("copied while it was written", func(t *testing.T) {
		must(t, os.RemoveAll(state))
		must(t, os.Rename(copied, state))
		again(t) // whether the copy is of use depends on the moment
	})
	t.Run("wiped", func(t *testing.T) {
		must(t, os.RemoveAll(state))
		if heals, old, restored := again(t); heals+old != 0 || restored < feedApplications {
			t.Errorf("%v heals, %v old, %v records restored, want everything", heals, old, restored)
		}
	})
	for _, damage := range []struct {
		name, files string
		do          func([]byte) []byte
	}{
		{"log flipped", "*.log", flip},
		{"log cut short", "*.log", half},
		{"checkpoint flipped", "CHECKPOINT", flip},
		{"checkpoint cut short", "CHECKPOINT", half},
	} {
		t.Run(damage.name, func(t *testing.T) {
			names, err := filepath.Glob(filepath.Join(state, "db", damage.files))
			must(t, err)
			if len(names) == 0 {
				t.Fatalf("no %s to damage in %s", damage.files, state)
			}
			for _, name := range names {
				b, err := os.ReadFile(name)
				must(t, err)
				must(t, os.WriteFile(name, damage.do(b), 0o600))
			}
			if heals, _, restored := again(t); heals == 0 || restored < feedApplications {
				t.Errorf("%v heals, %v records restored", heals, restored)
			}
		})
	}
	// A key deleted meanwhile may have left no trace in the log: rule D3.
	t.Run("older than half of delete.retention.ms", func(t *testing.T) {
		client, err := kgo.NewClient(r.kafka...)
		must(t, err)
		defer client.Close()
		_, err = kadm.NewClient(client).AlterTopicConfigs(t.Context(),
			[]kadm.AlterConfig{{Op: kadm.SetConfig, Name: "delete.retention.ms", Value: kadm.StringPtr("2000")}}, topics.HiringState)
		must(t, err)
		must(t, pause(t.Context(), 1200*time.Millisecond))
		if heals, old, restored := again(t); heals != 0 || old != partitions || restored < feedApplications {
			t.Errorf("%v heals, %v of %d partitions old, %v records restored", heals, old, partitions, restored)
		}
	})
}

func flip(b []byte) []byte {
	for i := range b {
		b[i] ^= 0x5a
	}
	return b
}

func half(b []byte) []byte { return b[:len(b)/2] }
