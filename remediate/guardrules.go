package remediate

import "github.com/tocsin/tocsin/config"

// Window is a time of the week at which nothing is done.
type Window struct {
	Days []string `yaml:"days"` // mon … sun; none: all
	From string   `yaml:"from"` // 09:00
	To   string   `yaml:"to"`   // 10:00; before From: the next day
	Zone string   `yaml:"zone"` // IANA; required
	Why  string   `yaml:"why"`
}

// ServiceTypes say on what a policy may act, by the value of a label.
type ServiceTypes struct {
	Label string   `yaml:"label"`
	Allow []string `yaml:"allow"` // what is in neither list is denied
	Deny  []string `yaml:"deny"`
}

// PreCheck is a question whose answer must hold: "sum(sessions{host=$target}) <= 5".
type PreCheck struct {
	Name    string `yaml:"name"`
	PromQL  string `yaml:"promql"`  // $target and $pool stand for quoted label values
	Require string `yaml:"require"` // "<= 5"
	Source  string `yaml:"source"`  // name of a source; "" the first
}

// BlastRadius bounds how much of a pool may be unwell for it to be touched.
type BlastRadius struct {
	MaxUnhealthy string          `yaml:"max_unhealthy"` // "20%" (rounds down) or "3"; default 20%
	MinHealthy   int             `yaml:"min_healthy"`
	Cooldown     config.Duration `yaml:"storm_cooldown"` // after it was beyond; default 15m
}

// Rates bound launches: "5/10m".
type Rates struct {
	Target string `yaml:"target"` // default 1/1h
	Policy string `yaml:"policy"` // default 5/10m
	Team   string `yaml:"team"`   // default 20/1h
	Global string `yaml:"global"` // default 50/1h
}

// Concurrency bounds dispatches under way.
type Concurrency struct {
	Target int `yaml:"target"` // always 1
	Pool   int `yaml:"pool"`   // default 1
	Policy int `yaml:"policy"` // default 3
	Global int `yaml:"global"` // default 10
}

// Cooldown is how long a target is left alone once a dispatch has ended.
type Cooldown struct {
	Success config.Duration `yaml:"after_success"` // default 30m
	Failure config.Duration `yaml:"after_failure"` // default 2h
}

// Attempts bound how often.
type Attempts struct {
	Episode int    `yaml:"episode"` // default 2
	Target  string `yaml:"target"`  // default 3/24h
}

// BreakerPolicy says when a policy stops until a person resets it.
type BreakerPolicy struct {
	Failures int             `yaml:"failures"` // default 3
	Window   config.Duration `yaml:"window"`   // default 1h
}
