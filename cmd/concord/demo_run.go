package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/concord-ats/concord/pkg/ats/atssim"
	"github.com/concord-ats/concord/pkg/audit"
	"github.com/concord-ats/concord/pkg/topics"
	"github.com/concord-ats/concord/pkg/wire"
	"github.com/concord-ats/concord/pkg/world"
	"github.com/concord-ats/concord/processors/gateway"
)

// run is the whole demo: everything up, the world through it, everything but the services down, the audit. The report
// is nil when ctx ended before it.
func (d *demo) run(ctx context.Context) (report *audit.Report, err error) {
	began := time.Now()
	a := d.a
	d.say("starting Kafka, Redis, the registry, the ATS and the processors")
	defer func() { err = errors.Join(err, a.closeAll()) }()
	if a.cfg.Embedded {
		if err := a.embedIn(ctx, ""); err != nil {
			return nil, err
		}
		a.cfg.Embedded = false // prepare must not bring a second one along
	} else if err := d.createTopics(ctx); err != nil {
		return nil, err
	}
	if err := d.listen(); err != nil {
		return nil, err
	}

	running, stop := context.WithCancel(ctx)
	defer stop()
	built := make(chan *wire.Schemas, 1)
	served := make(chan error, 1)
	go func() {
		err := a.serve(running, func(ctx context.Context) ([]part, error) { return d.prepare(ctx, built) })
		stop() // without the processors there is nothing to wait for
		served <- err
	}()
	var schemas *wire.Schemas
	select {
	case err := <-served:
		return nil, errors.Join(err, d.unlisten())
	case schemas = <-built:
	}
	stopSims := d.simulate(context.WithoutCancel(ctx))
	defer func() { err = errors.Join(err, stopSims()) }()

	err = d.tell(running, schemas, began)
	if err == nil && d.serve {
		if report, err = d.audit(ctx); err == nil {
			if err = d.print(report); err == nil {
				d.stay(running)
			}
		}
	}
	// The audit looks at what is at rest: the processors drain first, the services they used stay.
	services := a.closers
	a.closers = nil
	stop()
	if serveErr := <-served; serveErr != nil {
		err = errors.Join(serveErr, err)
	}
	a.closers = services
	if err == nil && report == nil && ctx.Err() == nil {
		d.say("auditing")
		report, err = d.audit(ctx)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	return report, err
}

// prepare builds the processors and the simulators, whose webhooks go to the gateway among them.
func (d *demo) prepare(ctx context.Context, built chan<- *wire.Schemas) ([]part, error) {
	schemas, err := d.a.schemas(ctx, true)
	if err != nil {
		return nil, err
	}
	parts, err := d.a.prepare(ctx, roles)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if g, ok := p.processor.(*gateway.Gateway); ok {
			for _, t := range d.tenants {
				t.hook = "http://" + g.Addr() + "/webhooks/" + t.kind + "/" + t.system
			}
		}
	}
	for _, t := range d.tenants {
		if t.sim, err = atssim.New(d.simConfig(t)); err != nil {
			return nil, err
		}
	}
	built <- schemas
	return parts, nil
}

func (d *demo) createTopics(ctx context.Context) error {
	cl, err := d.a.kafka(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	o, err := d.a.topicOptions(ctx, cl)
	if err != nil {
		return err
	}
	if _, err := topics.Create(ctx, cl, o, false); err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	return nil
}

// tell makes the world, writes it down, and sends it wave by wave.
func (d *demo) tell(ctx context.Context, schemas *wire.Schemas, began time.Time) error {
	opts, err := d.a.cfg.Kafka.Options()
	if err != nil {
		return err
	}
	w, err := newWatcher(opts, d)
	if err != nil {
		return err
	}
	defer w.Stop()
	if err := d.ready(ctx); err != nil {
		return err
	}
	d.timings.Start = time.Since(began)
	instances, reached := make([]world.Instance, len(d.tenants)), make(map[string]world.Tenant)
	for i, t := range d.tenants {
		instances[i], reached[t.system] = t.instance(), world.Tenant{ATS: t.url, Hook: t.hook, Secret: demoSecret}
	}
	d.world, err = world.Generate(world.Config{Seed: d.seed, Applications: d.applications, Start: time.Now(), Instances: instances, Schemas: schemas})
	if err != nil {
		return err
	}
	if err := d.writeWorld(); err != nil {
		return err
	}
	producer, err := kgo.NewClient(append(slices.Clone(opts), batchBytes(), kgo.ProducerBatchCompression(kgo.Lz4Compression()), kgo.ProducerLinger(2*time.Millisecond))...)
	if err != nil {
		return fmt.Errorf("demo: kafka client: %w", err)
	}
	defer producer.Close()
	driver := &world.Driver{Kafka: producer, Schemas: schemas, HTTP: d.client, Tenants: reached}
	driver.Progress = w.wave
	if err := driver.Seed(ctx, d.world); err != nil {
		return err
	}
	storms := d.storms(ctx)
	defer storms()
	for wave := range world.Waves {
		from := time.Now()
		sent, err := driver.Wave(ctx, d.world, wave)
		if err != nil {
			return err
		}
		d.sent = append(d.sent, sent)
		d.timings.Deliver = append(d.timings.Deliver, time.Since(from))
		from = time.Now()
		var until time.Time
		if wave == world.Waves-1 {
			until = d.world.Start.Add(demoTimers)
		}
		if err := w.settle(ctx, until); err != nil {
			return err
		}
		d.timings.Settle = append(d.timings.Settle, time.Since(from))
	}
	w.done()
	return d.caughtUp(ctx, opts)
}

// storms makes the ATS refuse requests for exceeding its rate, as it comes in bursts, until that has happened often
// enough. The returned function ends it.
func (d *demo) storms(ctx context.Context) func() {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer d.limit(0)
		want := uint64(30 * d.applications / 2000)
		tick := time.NewTicker(stormPause)
		defer tick.Stop()
		for ctx.Err() == nil {
			before := d.limited()
			if before >= want {
				return
			}
			d.limit(0.6)
			for range 40 {
				if d.limited() >= before+stormSize || !sleep(ctx, 5*time.Millisecond) {
					break
				}
			}
			d.limit(calmRate)
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// A storm ends after so many refusals, and the next one comes after a pause.
const (
	stormSize  = 10
	stormPause = 2500 * time.Millisecond
	calmRate   = 0.0035 // of refusals between storms: in one, little is asked
)

func (d *demo) limit(rate float64) {
	for _, t := range d.tenants {
		if err := t.sim.SetFaults(atssim.FaultState{Rates: atssim.Rates{atssim.FaultRateLimited: rate}}); err != nil {
			d.say("demo: %v", err) // both rates are constants within their bounds
		}
	}
}

// sleep waits; false means that ctx ended first.
func sleep(ctx context.Context, t time.Duration) bool {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// caughtUp waits until the consumer groups have committed all there is, as long as a stall may take.
func (d *demo) caughtUp(ctx context.Context, opts []kgo.Opt) error {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("demo: kafka client: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	for deadline := time.Now().Add(d.stall()); time.Now().Before(deadline); {
		lags, err := admin.Lag(ctx, d.a.cfg.Reconciler.Group, d.a.cfg.Writeback.Group, d.a.cfg.Identity.Group, d.a.cfg.KPI.Group)
		if err != nil {
			return fmt.Errorf("demo: lag of the groups: %w", err)
		}
		behind := int64(0)
		lags.Each(func(l kadm.DescribedGroupLag) { behind += l.Lag.Total() })
		if behind == 0 {
			return nil
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return ctx.Err()
		}
	}
	d.say("going on, though a consumer group has not caught up")
	return nil
}

// demoTimers is after how long the last of the world's timers, a hold or a time allowed in a stage, has fired.
const demoTimers = 15 * time.Second

func (d *demo) writeWorld() (err error) {
	f, err := os.Create(d.worldPath)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := bufio.NewWriter(f)
	if err := d.world.WriteFile(buf); err != nil {
		return err
	}
	return buf.Flush()
}

// ready waits until every part makes progress.
func (d *demo) ready(ctx context.Context) error {
	deadline := time.NewTimer(d.a.cfg.StartTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !d.a.health.report().Ready {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return fmt.Errorf("the processors %w: %+v", errStartTimeout, d.a.health.report().Parts)
		case <-tick.C:
		}
	}
	return nil
}

// stay says where everything is, and waits to be stopped.
func (d *demo) stay(ctx context.Context) {
	d.say("staying up until interrupted:")
	for _, t := range d.tenants {
		d.say("  %-10s %s/_sim/applications  %s/_sim/journal", t.system, t.url, t.url)
		d.say("  webhooks   %s", t.hook)
	}
	d.say("  registry   %s", d.a.cfg.Registry.URL)
	d.say("  redis      %s", d.a.cfg.Redis.Addr)
	d.say("  world      %s", d.worldPath)
	d.say("  kcat -b %s -t hiring.decisions -C -s value=avro -r %s", d.a.cfg.Kafka.Brokers[0], d.a.cfg.Registry.URL)
	d.say("  concord policy simulate --brokers %s --registry %s%s", d.a.cfg.Kafka.Brokers[0], d.a.cfg.Registry.URL, reconcilerSets())
	d.say("  concord app explain %s --brokers %s --registry %s%s", d.world.Applications[0].ID, d.a.cfg.Kafka.Brokers[0], d.a.cfg.Registry.URL, reconcilerSets())
	<-ctx.Done()
}

// reconcilerSets are the bounds the demo decides by, as flags: a decision comes out the same under the same bounds only.
func reconcilerSets() string {
	var b strings.Builder
	for _, s := range demoSets {
		if strings.HasPrefix(s, "reconciler.") {
			b.WriteString(" --set " + s)
		}
	}
	return b.String()
}

// say tells a person what is going on; with --json, too, as data alone goes to stdout.
func (d *demo) say(format string, args ...any) { d.a.say(format, args...) }
