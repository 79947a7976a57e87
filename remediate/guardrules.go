package remediate

import "github.com/tocsin/tocsin/config"

// Window is a time of the week at which nothing is done.
type Window struct {
	Days []string `yaml:"days" doc:"mon, tue, wed, thu, fri, sat, sun; all of them where it is left out."`
	From string   `yaml:"from" need:"true" doc:"Begin, by the clock on the wall: 09:00."`
	To   string   `yaml:"to" need:"true" doc:"End, by the clock on the wall: 10:00. Not after from: the next day."`
	Zone string   `yaml:"zone" need:"true" doc:"IANA time zone: Asia/Seoul."`
	Why  string   `yaml:"why" doc:"What people are told."`
}

// ServiceTypes say on what a policy may act, by the value of a label.
type ServiceTypes struct {
	Label string   `yaml:"label" doc:"Label of the alerts that tells the type. Empty: types are not asked for."`
	Allow []string `yaml:"allow" doc:"What may be touched. A type that stands in neither list is denied."`
	Deny  []string `yaml:"deny" doc:"What is never touched."`
}

// PreCheck is a question whose answer must hold: "sum(sessions{host=$target}) <= 5".
type PreCheck struct {
	Name    string `yaml:"name" need:"true" doc:"What it is called in the table of guards."`
	PromQL  string `yaml:"promql" need:"true" doc:"PromQL of one sample. $target and $pool stand for label values, bare or inside a matcher: instance=~\"$target(:[0-9]+)?\"."`
	Require string `yaml:"require" need:"true" doc:"What must hold of it: <= 5."`
	Source  string `yaml:"source" doc:"Name of the source that is asked; empty: the first."`

	Elsewhere bool `yaml:"elsewhere" doc:"proof: the source measures by itself, with other probes and scrapers than the alert's. Else the question must read no measurement, and no scrape target, that the alert's rule reads."`
}

// BlastRadius bounds how much of a pool may be unwell for it to be touched.
type BlastRadius struct {
	MaxUnhealthy string          `yaml:"max_unhealthy" doc:"A share of the pool, rounded down, or a number of targets. More are unwell: the measurement is doubted, and nothing touched."`
	MinHealthy   int             `yaml:"min_healthy" doc:"So many of the pool must be well."`
	AtOnce       int             `yaml:"at_once" doc:"More targets than this began to fail within 5m: the measurement is doubted, and nothing touched, however large the pool."`
	Cooldown     config.Duration `yaml:"storm_cooldown" doc:"How long a pool is left alone after it was beyond."`
}

// Rates bound launches: "5/10m".
type Rates struct {
	Target string `yaml:"target" doc:"Per target. The further steps of one ladder do not count."`
	Policy string `yaml:"policy" doc:"Per policy."`
	Team   string `yaml:"team" doc:"Per team."`
	Global string `yaml:"global" doc:"Of all policies together."`
}

// Concurrency bounds dispatches under way.
type Concurrency struct {
	Target int `yaml:"target" doc:"Per target; always 1."`
	Pool   int `yaml:"pool" doc:"Per pool."`
	Policy int `yaml:"policy" doc:"Per policy."`
	Global int `yaml:"global" doc:"Of all policies together."`
}

// Cooldown is how long a target is left alone once a dispatch has ended.
type Cooldown struct {
	Success config.Duration `yaml:"after_success" doc:"After one that cleared the alert."`
	Failure config.Duration `yaml:"after_failure" doc:"After one that did not."`
}

// Attempts bound how often.
type Attempts struct {
	Episode int    `yaml:"episode" doc:"Dispatches in one episode of a problem, over all steps; as many as there are steps where it is left out, at least 2."`
	Target  string `yaml:"target" doc:"Dispatches per target."`
}

// BreakerPolicy says when a policy stops until a person resets it.
type BreakerPolicy struct {
	Failures int             `yaml:"failures" doc:"So many dispatches that failed, or did not clear their alert,"`
	Window   config.Duration `yaml:"window" doc:"within so long."`
}
