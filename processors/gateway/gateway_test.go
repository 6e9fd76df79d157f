package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/concord-ats/concord/processors/gateway"
)

// settled waits until the gateway says that it is ready.
func (d *door) settled() {
	d.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for range 4000 {
		if len(d.g.Ready()) == 0 {
			return
		}
		<-tick.C
	}
	d.t.Fatalf("still %v", d.g.Ready())
}

// accepted sends a webhook again until it is accepted, as its sender does.
func (d *door) accepted(body, id string) {
	d.t.Helper()
	for range 10 {
		r := d.webhook(body, id)
		if r.status == http.StatusOK {
			return
		}
		d.t.Logf("not yet: %d %s", r.status, r.text)
	}
	d.t.Errorf("%s is never accepted", id)
}

func quick(cfg *gateway.Config) { cfg.AckTimeout = time.Second }

// Away from Kafka the sender is told to come back, readiness says why, and both end by themselves: also without a
// request, as a gateway that is not ready may get none.
func TestKafkaAway(t *testing.T) {
	t.Parallel()
	d := open(t, quick)
	body := published(t, "reject_candidate.json")
	if r := d.webhook(body, "before"); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.text)
	}
	for _, what := range []string{body, "garbage"} {
		d.net.set(true)
		r := d.webhook(what, "during")
		if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
			t.Errorf("away: %d %s, Retry-After %q", r.status, r.text, r.header.Get("Retry-After"))
		}
		if why := d.g.Ready(); len(why) != 1 || !strings.Contains(why[0], "kafka") {
			t.Errorf("away: ready says %v", why)
		}
		d.net.set(false)
		d.settled()
	}
	d.accepted(body, "after")
	if len(d.g.Ready()) != 0 {
		t.Errorf("back: %v", d.g.Ready())
	}
	counts := map[string]int{}
	for _, rec := range d.stored() {
		id, _, _ := strings.Cut(headerOf(rec, "ce_id"), ".")
		counts[id]++
	}
	if counts["before"] != 1 || counts["after"] < 1 || counts["during"] != 0 {
		t.Errorf("stored %v", counts)
	}
}

// A broker that takes the record and never answers does not hold the sender for longer than the timeout.
func TestSilentBroker(t *testing.T) {
	t.Parallel()
	d := open(t, quick)
	body := published(t, "reject_candidate.json")
	if r := d.webhook(body, "before"); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.text)
	}
	silent, asked := make(chan struct{}), make(chan struct{}, 100)
	d.kafka.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		select {
		case <-silent:
			return nil, nil, false
		default:
		}
		d.kafka.KeepControl()
		if req.Key() == int16(kmsg.Produce) {
			asked <- struct{}{}
		}
		d.kafka.SleepControl(func() { <-silent })
		return nil, nil, false
	})
	done := make(chan reply, 2)
	send := func() {
		r, err := d.send("/webhooks/greenhouse/gh-main", body, "Signature", sign(body))
		if err != nil {
			r.text = err.Error()
		}
		done <- r
	}
	go send()
	select {
	case <-asked:
	case r := <-done: // an answer before anybody was asked
		done <- r
	}
	for _, when := range []string{"first", "second"} { // the second comes behind a request that is not answered
		if when == "second" {
			go send()
		}
		select {
		case r := <-done:
			if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
				t.Errorf("%s: %d %s", when, r.status, r.text)
			}
		case <-time.After(3 * time.Second):
			t.Errorf("%s: no answer while the broker is silent", when)
		}
	}
	close(silent)
	d.accepted(body, "after")
}

// A broker that refuses the write, too few replicas being in sync, is as good as none.
func TestNotEnoughReplicas(t *testing.T) {
	t.Parallel()
	d := open(t, quick)
	refuse := make(chan struct{})
	d.kafka.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		d.kafka.KeepControl()
		select {
		case <-refuse:
			return nil, nil, false
		default:
		}
		in := req.(*kmsg.ProduceRequest)
		out := in.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range in.Topics {
			answer := kmsg.NewProduceResponseTopic()
			answer.Topic, answer.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				part := kmsg.NewProduceResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, kerr.NotEnoughReplicas.Code
				answer.Partitions = append(answer.Partitions, part)
			}
			out.Topics = append(out.Topics, answer)
		}
		return out, nil, true
	})
	body := published(t, "reject_candidate.json")
	if r := d.webhook(body, "during"); r.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", r.status, r.text)
	}
	close(refuse)
	if r := d.webhook(body, "after"); r.status != http.StatusOK || len(d.g.Ready()) != 0 {
		t.Errorf("after: %d %s, %v", r.status, r.text, d.g.Ready())
	}
}

// A request in hand when the gateway is told to stop is finished; a later one finds the door closed.
func TestDrain(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	body := published(t, "reject_candidate.json")
	hold, asked := make(chan struct{}), make(chan struct{}, 1)
	d.kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		asked <- struct{}{}
		d.kafka.SleepControl(func() { <-hold })
		return nil, nil, false
	})
	done := make(chan reply, 1)
	go func() {
		r, err := d.send("/webhooks/greenhouse/gh-main", body, "Signature", sign(body))
		if err != nil {
			r.text = err.Error()
		}
		done <- r
	}()
	<-asked
	d.cancel()
	select {
	case err := <-d.done:
		t.Fatalf("ended with a request in hand: %v", err)
	case r := <-done:
		t.Fatalf("answered before the acknowledgement: %d %s", r.status, r.text)
	default:
	}
	close(hold)
	if r := <-done; r.status != http.StatusOK {
		t.Errorf("in hand: %d %s", r.status, r.text)
	}
	if err := d.stop(); err != nil {
		t.Errorf("run: %v", err)
	}
	if _, err := d.send("/events", "{}"); err == nil {
		t.Error("the door is still open")
	}
	if n := len(d.stored()); n != 1 {
		t.Errorf("%d records", n)
	}
}

// What waits for Kafka is bounded: one more is told to come back at once.
func TestBusy(t *testing.T) {
	t.Parallel()
	d := open(t, func(cfg *gateway.Config) { cfg.MaxWaiting = 1 })
	body := published(t, "reject_candidate.json")
	hold, asked := make(chan struct{}), make(chan struct{}, 1)
	d.kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		asked <- struct{}{}
		d.kafka.SleepControl(func() { <-hold })
		return nil, nil, false
	})
	done := make(chan reply, 1)
	go func() {
		r, err := d.send("/webhooks/greenhouse/gh-main", body, "Signature", sign(body))
		if err != nil {
			r.text = err.Error()
		}
		done <- r
	}()
	<-asked
	if r := d.webhook(body, "second"); r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" || !strings.Contains(r.text, "too many") {
		t.Errorf("%d %s", r.status, r.text)
	}
	close(hold)
	if r := <-done; r.status != http.StatusOK {
		t.Errorf("first: %d %s", r.status, r.text)
	}
}

// Every fault of a configuration is told at once.
func TestConfigFaults(t *testing.T) {
	t.Parallel()
	_, err := gateway.New(gateway.Config{Tokens: []string{""}, Senders: []gateway.Sender{{}}, Opts: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"schemas", "tokens", "sender"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v says nothing of %s", err, want)
		}
	}
}
