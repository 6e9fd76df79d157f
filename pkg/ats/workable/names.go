package workable

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/concord-ats/concord/pkg/ats"
	"github.com/concord-ats/concord/pkg/ats/loose"
)

// kindHired is the kind of the stages that mean hired.
const kindHired = "hired"

// A look-up is kept for namesLife, and is made again sooner when it does not know a name, once in namesPause. As many are
// kept as maxNames.
const (
	namesLife  = 10 * time.Minute
	namesPause = time.Minute
	maxNames   = 10_000
)

// names turns what Workable shows, which are names, into what the policy maps, which are ids: the slugs of a job's
// stages and the ids of the account's disqualification reasons. It is safe for concurrent use.
type names struct {
	get func(ctx context.Context, path string) (ats.Response, error)
	now func() time.Time

	mu   sync.Mutex
	kept map[string]*lookup // by path
}

// lookup is what one list said.
type lookup struct {
	at    time.Time
	ids   map[string]string // by name
	hired string
}

// slug is the slug of a stage of a job by its name; the name itself where the job has no such stage: then it is the slug,
// or will be told as one that nothing maps.
func (n *names) slug(ctx context.Context, job, name string) (string, error) {
	if name == "" || job == "" {
		return name, nil
	}
	l, err := n.find(ctx, "stages", job, name)
	if err != nil {
		return "", err
	}
	if id, ok := l.ids[name]; ok {
		return id, nil
	}
	return name, nil
}

// reason is the id of a disqualification reason by its description; none for any other text.
func (n *names) reason(ctx context.Context, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	l, err := n.find(ctx, "reasons", "", text)
	if err != nil {
		return "", err
	}
	return l.ids[text], nil
}

// hired is the slug of a job's stage that means hired; empty when it has none.
func (n *names) hired(ctx context.Context, job string) (string, error) {
	l, err := n.find(ctx, "stages", job, "")
	if err != nil {
		return "", err
	}
	return l.hired, nil
}

// find returns what is kept, or asks anew: when it is old, or does not know the name.
func (n *names) find(ctx context.Context, what, job, name string) (*lookup, error) {
	path := "disqualification_reasons"
	if what == "stages" {
		if ats.CheckID("read", job) != nil {
			return nil, &ats.Error{Class: ats.NotExecuted, Code: ats.CodeBadResponse, Op: "read", Err: errJob}
		}
		path = "jobs/" + job + "/stages"
	}
	n.mu.Lock()
	l, now := n.kept[path], n.now()
	n.mu.Unlock()
	if l != nil {
		_, known := l.ids[name]
		if age := now.Sub(l.at); age < namesPause || age < namesLife && (known || name == "") {
			return l, nil
		}
	}
	res, err := n.get(ctx, path)
	if err != nil {
		return nil, err
	}
	if l, err = read(what, &res); err != nil {
		return nil, err
	}
	l.at = now
	n.mu.Lock()
	if len(n.kept) >= maxNames {
		clear(n.kept)
	}
	n.kept[path] = l
	n.mu.Unlock()
	return l, nil
}

func read(what string, res *ats.Response) (*lookup, error) {
	l := &lookup{ids: map[string]string{}}
	if what == "reasons" {
		var rows []struct {
			ID          loose.Text `json:"id"`
			Description loose.Text `json:"description"`
		}
		if err := res.Decode("read", &rows); err != nil {
			return nil, err
		}
		for _, r := range rows {
			l.ids[string(r.Description)] = string(r.ID)
		}
		return l, nil
	}
	var body struct {
		Stages *[]struct {
			Slug loose.Text `json:"slug"`
			Name loose.Text `json:"name"`
			Kind loose.Text `json:"kind"`
		} `json:"stages"`
	}
	if err := res.Decode("read", &body); err != nil {
		return nil, err
	}
	if body.Stages == nil {
		return nil, res.Bad("read", "no stages")
	}
	for _, s := range *body.Stages {
		if s.Slug == "" {
			return nil, res.Bad("read", "a stage without a slug")
		}
		l.ids[string(s.Name)] = string(s.Slug)
		if s.Kind == kindHired && l.hired == "" {
			l.hired = string(s.Slug)
		}
	}
	return l, nil
}

var errJob = errors.New("the candidate's job has no shortcode")
