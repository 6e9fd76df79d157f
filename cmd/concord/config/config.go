// Package config is everything a reader can turn: one struct with defaults, filled from a YAML
// file, the environment and flags, checked as a whole and printed with its secrets cut.
//
// Precedence: flags > environment (CONCORD_…) > YAML file > defaults. The domain packages do not
// read it; cmd/concord hands each of them its own small typed configuration.
package config

import (
	"time"
)

// Config is the whole configuration. A `key` tag is the name in YAML; the full name joins them with
// dots (kafka.sasl.username), and the environment variable is that in capitals with underscores
// (CONCORD_KAFKA_SASL_USERNAME). A Secret called x can also be given as x_file, a path.
type Config struct {
	Embedded     bool          `key:"embedded" doc:"bring Kafka, Redis and the registry along in this process; data stays in data_dir"`
	Instance     string        `key:"instance" doc:"name of this process, different from every other's and the same after a restart; empty: the host's name"`
	DataDir      string        `key:"data_dir" doc:"folder for the local stores and, embedded, for the log; one process at a time"`
	StartTimeout time.Duration `key:"start_timeout" doc:"how long to wait at start for Kafka, Redis and the registry before exit code 4"`
	DrainTimeout time.Duration `key:"drain_timeout" doc:"how long a stop may take to finish what is in flight"`
	MemoryLimit  Bytes         `key:"memory_limit" doc:"memory the Go runtime tries to stay below, garbage included; give what a burst needs on top; 0: no limit"`
	Local        Local         `key:"local"`
	Log          Log           `key:"log"`
	HTTP         HTTP          `key:"http"`
	Kafka        Kafka         `key:"kafka"`
	Registry     Registry      `key:"registry"`
	Redis        Redis         `key:"redis"`
	Stream       Stream        `key:"stream"`
	Reconciler   Reconciler    `key:"reconciler"`
	Writeback    Writeback     `key:"writeback"`
	KPI          KPI           `key:"kpi"`
	Identity     Identity      `key:"identity"`
	Poller       Poller        `key:"poller"`
	Gateway      Gateway       `key:"gateway"`
	Policy       Policy        `key:"policy"`
	ATS          []ATS         `key:"ats" doc:"the applicant tracking systems; in the environment one YAML list"`
	Vendors      []Vendor      `key:"vendors" doc:"screening vendors that send webhooks; in the environment one YAML list"`
}

// Local configures the services that embedded brings along. They listen on loopback only.
type Local struct {
	KafkaPort    int `key:"kafka_port" doc:"embedded: port of Kafka; 0 takes a free one"`
	RedisPort    int `key:"redis_port" doc:"embedded: port of Redis; 0 takes a free one"`
	RegistryPort int `key:"registry_port" doc:"embedded: port of the schema registry; 0 takes a free one"`
}

// Log configures the JSON log on standard error.
type Log struct {
	Level string `key:"level" doc:"debug, info, warn or error; debug adds one line an event"`
}

// HTTP configures the server for /metrics, /healthz and /readyz.
type HTTP struct {
	Listen string `key:"listen" doc:"host:port of /metrics, /healthz and /readyz; empty turns it off"`
}

// TLS configures a client's transport. Giving cert_file and key_file makes it mutual.
type TLS struct {
	Enabled    bool   `key:"enabled" doc:"speak TLS"`
	CAFile     string `key:"ca_file" doc:"PEM file of the authorities to trust; empty: the system's"`
	CertFile   string `key:"cert_file" doc:"PEM file of the client certificate (mutual TLS)"`
	KeyFile    string `key:"key_file" doc:"PEM file of the client certificate's key"`
	ServerName string `key:"server_name" doc:"name the server's certificate must carry, where it differs from the address"`
}

// SASL configures authentication to Kafka.
type SASL struct {
	Mechanism string `key:"mechanism" doc:"empty, scram-sha-256, scram-sha-512 or plain (plain only over TLS)"`
	Username  string `key:"username" doc:"user name"`
	Password  Secret `key:"password" doc:"password"`
}

// Kafka configures the cluster and the topics in it.
type Kafka struct {
	Brokers     []string `key:"brokers" doc:"bootstrap addresses, host:port"`
	ClientID    string   `key:"client_id" doc:"client.id of every connection"`
	TLS         TLS      `key:"tls"`
	SASL        SASL     `key:"sasl"`
	Partitions  int      `key:"partitions" doc:"partitions of each topic; fixed once data is there"`
	Replication int      `key:"replication" doc:"replicas of each topic; 1 on a cluster of one broker"`
}

// Registry configures the schema registry.
type Registry struct {
	URL      string `key:"url" doc:"Confluent-compatible schema registry"`
	Username string `key:"username" doc:"basic authentication user"`
	Password Secret `key:"password" doc:"basic authentication password"`
	TLS      TLS    `key:"tls"`
	Static   bool   `key:"static" doc:"use built-in schema ids, for clusters without a registry; url is then not read"`
}

// Redis configures the store of dedupe keys and shared rate limits. Losing it never loses an event.
type Redis struct {
	Addr      string        `key:"addr" doc:"host:port"`
	Username  string        `key:"username" doc:"ACL user"`
	Password  Secret        `key:"password" doc:"password"`
	DB        int           `key:"db" doc:"database number"`
	TLS       TLS           `key:"tls"`
	KeyPrefix string        `key:"key_prefix" doc:"start of every key, to share a server"`
	Timeout   time.Duration `key:"timeout" doc:"time for one round trip; past it the state alone decides"`
	Processes int           `key:"processes" doc:"processes of all roles that call ATSs, backfills too, counting those that may be added: while Redis is away each keeps to its part of every rate limit and quota, and always to its part of the calls at once an ATS allows"`
}

// Stream configures the exactly-once runtime under reconciler, write-back and KPI.
type Stream struct {
	Sessions           int           `key:"sessions" doc:"consumer sessions a process and role; each is one failure domain"`
	CommitInterval     time.Duration `key:"commit_interval" doc:"time between transaction commits; p99 latency is a little above it"`
	SessionTimeout     time.Duration `key:"session_timeout" doc:"silence after which the group takes a session's partitions away"`
	RebalanceTimeout   time.Duration `key:"rebalance_timeout" doc:"time for all members to rejoin; an incomplete assignment is fatal after it"`
	TransactionTimeout time.Duration `key:"transaction_timeout" doc:"time after which the cluster aborts a stuck transaction; readers wait that long"`
	CacheBytes         Bytes         `key:"cache_bytes" doc:"decoded states kept in memory, a process"`
	AllowDataLoss      bool          `key:"allow_data_loss" doc:"go on from the earliest record when an input was truncated or recreated or its offsets are gone, instead of stopping"`
}

// Reconciler configures the fold and its bounds.
type Reconciler struct {
	Group             string        `key:"group" doc:"consumer group and start of the transactional ids"`
	Horizon           time.Duration `key:"horizon" doc:"how late an event may come and still sort where it belongs"`
	TailCap           int           `key:"tail_cap" doc:"events kept in order for one application"`
	RingSize          int           `key:"ring_size" doc:"event identities remembered for one application"`
	Grace             time.Duration `key:"grace" doc:"wait before a forbidden jump is declared: its missing step may be on the way"`
	Settle            time.Duration `key:"settle" doc:"wait of a closing write after the ATS changed underneath it; not below grace"`
	RefreshCoalescing time.Duration `key:"refresh_coalescing" doc:"shortest time between two refreshes of one application; below 700ms an ATS that cuts its times to the second can be left in a tie"`
	DedupeTTL         time.Duration `key:"dedupe_ttl" doc:"life of a dedupe key in Redis; not below horizon"`
}

// Writeback configures the worker that writes to the ATS.
type Writeback struct {
	Group          string        `key:"group" doc:"consumer group and start of the transactional ids"`
	SessionTimeout time.Duration `key:"session_timeout" doc:"as stream.session_timeout; short, since a new owner waits for it before its first write"`
	Window         int           `key:"window" doc:"commands a partition in memory"`
	DeferAfter     time.Duration `key:"defer_after" doc:"age at which a command that cannot be sent yet goes back to the reconciler's timer"`
	HTTPTimeout    time.Duration `key:"http_timeout" doc:"deadline of one ATS call; below session_timeout"`
	Concurrency    int           `key:"concurrency" doc:"ATS calls in flight, a tenant and process"`
}

// KPI configures the measuring consumer.
type KPI struct {
	Group  string        `key:"group" doc:"consumer group and start of the transactional ids"`
	Window time.Duration `key:"window" doc:"length of an event-time window"`
}

// Identity configures the processor of candidates.
type Identity struct {
	Group      string `key:"group" doc:"consumer group and start of the transactional ids"`
	ContactKey Secret `key:"contact_key" doc:"key under which the gateway hashes the contacts that webhooks show, to find probable duplicates; none: they are not looked for. Another key finds none of the earlier ones"`
}

// Poller configures the walks over what changed in each ATS.
type Poller struct {
	Group  string        `key:"group" doc:"consumer group: an ATS is polled by one process of it"`
	Every  time.Duration `key:"every" doc:"time between two walks over what changed in an ATS"`
	Settle time.Duration `key:"settle" doc:"how long a webhook may take until what it would tell counts as drift"`
	Share  float64       `key:"share" doc:"part of an ATS's rate that walks may use, 0 to 1; writes keep the rest"`
}

// Gateway configures the door for webhooks and CloudEvents over HTTP.
type Gateway struct {
	Listen         string        `key:"listen" doc:"host:port of the webhook endpoints"`
	MaxBody        Bytes         `key:"max_body" doc:"largest request body"`
	MaxHeld        Bytes         `key:"max_held" doc:"bytes of all request bodies in hand; past it senders are told to try again"`
	MaxConnections int           `key:"max_connections" doc:"connections at once; more are closed as they come"`
	MaxWaiting     int           `key:"max_waiting" doc:"requests that wait for Kafka at once; past it senders are told to try again"`
	Rate           float64       `key:"rate" doc:"requests a second of one sender whose signature verifies, with a burst of one second; past it the sender is told 429"`
	AckTimeout     time.Duration `key:"ack_timeout" doc:"time for Kafka to acknowledge before the sender is told to try again; senders wait 5s"`
	EventsTokens   Secrets       `key:"events_tokens" doc:"bearer tokens of the CloudEvents endpoint, one for each sender and more while one is changed; none closes that endpoint"`
	Group          string        `key:"group" doc:"consumer group of the look-up of webhooks that name no application; each ATS has one of its own, this name, a dot and its instance"`
	ResolveEvery   time.Duration `key:"resolve_every" doc:"time between two walks over what changed in an ATS, while such a webhook waits"`
	ResolveFor     time.Duration `key:"resolve_for" doc:"how long such a webhook is looked up, whatever the ATS answers, before it is dead-lettered as unresolved"`
}

// Policy configures which policy is in force where nothing was published, and who may sign what is.
type Policy struct {
	Archives []string `key:"archives" doc:"signed bundles, as concord policy pack writes them; each holds from its effective_from; empty: the built-in bundle"`
	Signers  string   `key:"signers" doc:"keys file that says who may sign bundles, archives and published ones, in the form of OpenSSH's allowed_signers"`
	Revoked  string   `key:"revoked" doc:"revoked public keys, one a line; empty: none"`
	Dev      bool     `key:"dev" doc:"take published bundles without signatures, and say so in every decision; embedded only"`
}

// KindNone is the kind of an instance without an ATS: Concord keeps its applications.
const KindNone = "none"

// ATS is one applicant tracking system instance.
type ATS struct {
	Instance       string        `key:"instance" doc:"name, the part of an application id before the slash; signed bundles must name it, and with the built-in one the reconciler needs it as well, unless it starts with gh-"`
	Kind           string        `key:"kind" doc:"dialect: greenhouse, lever, ashby, workable, smartrecruiters; generic, an ATS of one's own as description describes it; none for a team without an ATS, which needs no more than its instance"`
	Since          time.Time     `key:"since" doc:"since when the instance has this ATS, where it had none before, such as 2026-11-01T09:00:00Z; empty: ever. For the built-in policy; signed bundles say it themselves"`
	Description    string        `key:"description" doc:"kind generic: the file that describes the ATS; concord ats init writes one to start from"`
	URL            string        `key:"url" doc:"base URL of its API"`
	TokenURL       string        `key:"token_url" doc:"OAuth2 token endpoint; empty: the dialect's default below url"`
	ClientID       string        `key:"client_id" doc:"OAuth2 client; for a dialect with an API key none, for smartrecruiters none when the secret is an API key, for generic as the description admits callers"`
	ClientSecret   Secret        `key:"client_secret" doc:"OAuth2 client secret, or the API key or access token of a dialect that takes one (lever, ashby, workable, smartrecruiters, generic)"`
	WebhookSecrets Secrets       `key:"webhook_secrets" doc:"secrets that sign its webhooks: one for each webhook that has its own, and the old beside the new while one is changed; none: its webhooks are refused"`
	UserID         string        `key:"user_id" doc:"ATS user on whose behalf changes are made; workable needs it: the id of a member; generic where the description has {user}"`
	ReadLag        time.Duration `key:"read_lag" doc:"how long a read may still show what was before a write"`
	Rate           float64       `key:"rate" doc:"requests a second, shared by all processes; 0: what keeps within the limit the vendor publishes. In any window the ATS counts, rate × window + burst can go out"`
	Burst          int           `key:"burst" doc:"requests at once; 0: as the vendor publishes it. One write takes four and more"`
	Region         string        `key:"region" doc:"region of the policy whose applications alone are written here; empty: any. One whose region is not known is not written"`
	PhoneRegion    string        `key:"phone_region" doc:"country of phone numbers that say none, such as DE; empty: such numbers are not compared"`
	PrivateNetwork bool          `key:"private_network" doc:"the ATS is one of your own, at a private address; else a name that resolves to one is not called"`
}

// Vendor is one account of a screening vendor that sends webhooks.
type Vendor struct {
	Instance       string  `key:"instance" doc:"name of the system its events come from, as the policy knows it"`
	Kind           string  `key:"kind" doc:"dialect: checkr, or standard for Standard Webhooks"`
	WebhookSecrets Secrets `key:"webhook_secrets" doc:"secrets that sign its webhooks; the old beside the new while one is changed"`
}

// Default returns the configuration of an empty environment. Bounds of the fold and of the control
// loop are the values the documentation gives.
func Default() Config {
	return Config{
		DataDir:      "data",
		StartTimeout: time.Minute,
		DrainTimeout: 10 * time.Second,
		MemoryLimit:  768 << 20,
		Local:        Local{KafkaPort: 9092, RedisPort: 6379, RegistryPort: 8081},
		Log:          Log{Level: "info"},
		HTTP:         HTTP{Listen: "127.0.0.1:9464"},
		Kafka: Kafka{
			Brokers: []string{"127.0.0.1:9092"}, ClientID: "concord", Partitions: 12, Replication: 3,
		},
		Registry: Registry{URL: "http://127.0.0.1:8081"},
		Redis:    Redis{Addr: "127.0.0.1:6379", KeyPrefix: "concord:", Timeout: 250 * time.Millisecond, Processes: 1},
		Stream: Stream{
			Sessions: 2, CommitInterval: 100 * time.Millisecond, SessionTimeout: 45 * time.Second,
			RebalanceTimeout: time.Minute, TransactionTimeout: 15 * time.Second,
			CacheBytes: 64 << 20,
		},
		Reconciler: Reconciler{
			Group: "concord.reconciler", Horizon: 72 * time.Hour, TailCap: 256, RingSize: 256,
			Grace: 30 * time.Second, Settle: time.Minute, RefreshCoalescing: time.Second, DedupeTTL: 7 * 24 * time.Hour,
		},
		Writeback: Writeback{
			Group: "concord.writeback", SessionTimeout: 10 * time.Second, Window: 1000,
			DeferAfter: 30 * time.Second, HTTPTimeout: 5 * time.Second, Concurrency: 16,
		},
		KPI:      KPI{Group: "concord.kpi", Window: time.Hour},
		Identity: Identity{Group: "concord.identity"},
		Poller:   Poller{Group: "concord.poller", Every: 5 * time.Minute, Settle: 30 * time.Second, Share: 0.2},
		Gateway: Gateway{
			Listen: "127.0.0.1:8080", MaxBody: 1 << 20, MaxHeld: 32 << 20, MaxConnections: 4096, MaxWaiting: 1000, Rate: 1000,
			AckTimeout: 4 * time.Second, Group: "concord.gateway", ResolveEvery: 30 * time.Second, ResolveFor: 10 * time.Minute,
		},
		Policy: Policy{Archives: []string{}},
	}
}

// DefaultATS returns what an entry of the ats list starts from. Its rate is the vendor's.
func DefaultATS() ATS {
	return ATS{Kind: "greenhouse", ReadLag: 5 * time.Second}
}
