package ats

import (
	"context"
	"strings"
	"time"
)

// Jobs looks up the regions of jobs, where an application does not show that of its own. A job is asked for once in ten minutes,
// one whose region is not known once in a minute. It is safe for concurrent use.
type Jobs struct {
	Mapping *Mapping
	Now     func() time.Time
	// Places asks the ATS where a job is, by every name it has for it, the most particular one first.
	Places func(ctx context.Context, job string) ([]string, error)

	kept Kept[string]
}

// Region is the region of a job; empty where the mapping names none of its places, or the credential may not see the job.
// Nothing is asked for where the mapping has no regions at all.
func (j *Jobs) Region(ctx context.Context, job string) (string, error) {
	if len(j.Mapping.Regions) == 0 || CheckID("read", job) != nil {
		return "", nil
	}
	now := j.Now()
	if region, ok := j.kept.Get(job, now); ok {
		return region, nil
	}
	places, err := j.Places(ctx, job)
	if code := CodeOf(err); err != nil && code != CodeForbidden && code != CodeNotFound {
		return "", err
	}
	region, life := j.Mapping.Region(places...), KeptLife
	if region == "" { // it may be set right, here or there
		life = KeptPause
	}
	j.kept.Put(job, region, now.Add(life))
	return region, nil
}

// Country is a country's code as it is shown, and in capitals: some ATSs show it small.
func Country(code string) []string { return []string{code, strings.ToUpper(code)} }
