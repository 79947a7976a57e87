package thanos

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/thanos-io/thanos/pkg/api/query/querypb"
	"github.com/thanos-io/thanos/pkg/store/storepb/prompb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/tocsin/tocsin/page"
	"github.com/tocsin/tocsin/remote"
	"github.com/tocsin/tocsin/remote/prometheus"
)

// batch is how many series Thanos is asked to put in one message; older
// versions send one each.
const batch = 256

// maxMessage bounds one message, in bytes; the answer as a whole is bounded by max_bytes.
const maxMessage = 16 << 20

// stream asks Thanos' gRPC Query API.
type stream struct {
	conn *grpc.ClientConn
	api  querypb.QueryClient
	cfg  *Config
}

// dial prepares a connection; it is made with the first question.
func dial(c *Config, secure *tls.Config) (*stream, error) {
	creds := insecure.NewCredentials()
	if secure != nil {
		creds = credentials.NewTLS(secure)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.ForceCodecV2(codec{})),
	}
	if c.BearerTokenFile != "" {
		options = append(options, grpc.WithPerRPCCredentials(bearer{c}))
	}
	conn, err := grpc.NewClient(c.GRPC, options...)
	if err != nil {
		return nil, err
	}
	return &stream{conn: conn, api: querypb.NewQueryClient(conn), cfg: c}, nil
}

// Query evaluates one instant query.
func (s *stream) Query(ctx context.Context, text string, at time.Time, limits prometheus.Limits, each func([]page.Label, float64)) (prometheus.Answer, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // ends a stream that is left early
	req := &querypb.QueryRequest{
		Query: text, TimeSeconds: at.Unix(), ResponseBatchSize: batch,
		EnableDedup: true, ReplicaLabels: s.cfg.ReplicaLabels, EnablePartialResponse: s.cfg.PartialResponse,
	}
	if deadline, ok := ctx.Deadline(); ok {
		req.TimeoutSeconds = int64(time.Until(deadline).Seconds()) + 1
	}
	r := &reader{limits: limits, strings: map[string]string{}, each: func(ls []page.Label, samples []prompb.Sample) {
		each(ls, samples[len(samples)-1].Value)
	}}
	answers, err := s.api.Query(ctx, req)
	if err != nil {
		return r.out, refused(ctx, "query", err)
	}
	return r.out, r.read(ctx, "query", func() (answered, error) { return answers.Recv() })
}

// Range evaluates a query over a span of time, as prometheus.Client does.
func (s *stream) Range(ctx context.Context, text string, from, to time.Time, step time.Duration, limits prometheus.Limits, each func([]page.Label, []prometheus.Point)) (prometheus.Answer, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop() // ends a stream that is left early
	req := &querypb.QueryRangeRequest{
		Query: text, StartTimeSeconds: from.Unix(), EndTimeSeconds: to.Unix(), IntervalSeconds: max(1, int64(step.Seconds())), ResponseBatchSize: batch,
		EnableDedup: true, ReplicaLabels: s.cfg.ReplicaLabels, EnablePartialResponse: s.cfg.PartialResponse,
	}
	if deadline, ok := ctx.Deadline(); ok {
		req.TimeoutSeconds = int64(time.Until(deadline).Seconds()) + 1
	}
	var points []prometheus.Point
	r := &reader{limits: limits, strings: map[string]string{}, each: func(ls []page.Label, samples []prompb.Sample) {
		points = points[:0]
		for _, p := range samples {
			points = append(points, prometheus.Point{At: time.UnixMilli(p.Timestamp), Value: p.Value})
		}
		each(ls, points)
	}}
	answers, err := s.api.QueryRange(ctx, req)
	if err != nil {
		return r.out, refused(ctx, "query_range", err)
	}
	return r.out, r.read(ctx, "query_range", func() (answered, error) { return answers.Recv() })
}

// answered is one message of either kind of answer.
type answered interface {
	Size() int
	GetWarnings() string
	GetTimeseries() *prompb.TimeSeries
	GetTimeseriesBatch() *querypb.TimeSeriesBatch
}

// read takes in messages until the last one, or a limit.
func (r *reader) read(ctx context.Context, op string, next func() (answered, error)) error {
	for {
		res, err := next()
		switch {
		case errors.Is(err, io.EOF):
			return r.verdict(op)
		case err != nil:
			return refused(ctx, op, err)
		}
		r.take(res)
		if r.out.Cut {
			return nil
		}
	}
}

// reader gathers the messages of one answer.
type reader struct {
	limits prometheus.Limits
	each   func([]page.Label, []prompb.Sample)
	out    prometheus.Answer
	labels []page.Label

	strings map[string]string
}

func (r *reader) take(res answered) {
	r.out.Bytes += int64(res.Size())
	if r.out.Bytes > r.limits.Bytes {
		r.out.Cut = true
		return
	}
	if w := res.GetWarnings(); w != "" && !prometheus.Remark(w) {
		r.out.Warnings = append(r.out.Warnings, w)
	}
	if one := res.GetTimeseries(); one != nil {
		r.series(one)
	}
	if many := res.GetTimeseriesBatch(); many != nil {
		for _, one := range many.Series {
			r.series(one)
		}
	}
}

func (r *reader) series(s *prompb.TimeSeries) {
	if len(s.Samples) == 0 { // a native histogram: no number to judge
		return
	}
	if r.out.Series >= r.limits.Series {
		r.out.Cut = true
		return
	}
	r.out.Series++
	r.labels = r.labels[:0]
	for i := range s.Labels {
		r.labels = append(r.labels, page.Label{Name: r.own(s.Labels[i].Name), Value: r.own(s.Labels[i].Value)})
	}
	slices.SortFunc(r.labels, func(a, b page.Label) int { return strings.Compare(a.Name, b.Name) })
	r.each(r.labels, s.Samples)
}

// own returns a copy of a label's string, the same one for all series: a ZLabel
// would hold on to the whole message it came in.
func (r *reader) own(s string) string {
	if have, ok := r.strings[s]; ok {
		return have
	}
	s = strings.Clone(s)
	r.strings[s] = s
	return s
}

// verdict tells an answer without series from a refusal: under partial response
// Thanos sends the error of a query as a warning, and nothing else.
func (r *reader) verdict(op string) error {
	if r.out.Series > 0 || len(r.out.Warnings) == 0 {
		return nil
	}
	return &remote.Error{Op: op, Class: remote.Unknown, Reason: "only a warning came"}
}

// refused keeps the code of a gRPC error; its text may quote label values.
func refused(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return &remote.Error{Op: op, Class: remote.Unknown, Err: ctx.Err()}
	}
	code := status.Code(err)
	if code == codes.DeadlineExceeded || code == codes.Canceled { // the server saw our deadline before we did
		return &remote.Error{Op: op, Class: remote.Unknown, Err: context.DeadlineExceeded}
	}
	class := remote.Unknown
	switch code {
	case codes.Unavailable:
		class = remote.NotSent
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
		class = remote.Config
	case codes.InvalidArgument:
		class = remote.Content
	default:
	}
	return &remote.Error{Op: op, Class: class, Reason: code.String()}
}
