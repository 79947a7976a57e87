package thanos

import (
	"fmt"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// codec is gRPC's own for protobuf but for one thing: a message keeps its
// buffer. Thanos' ZLabel strings lie in that buffer, and gRPC's codec gives it
// back to a pool before the message reaches its reader: labels of one stream
// would change under the hands of another.
type codec struct{}

var _ encoding.CodecV2 = codec{}

// message is what gogo/protobuf generates.
type message interface {
	Marshal() ([]byte, error)
	Unmarshal(b []byte) error
}

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(message)
	if !ok {
		return nil, fmt.Errorf("%T is no message of Thanos", v)
	}
	b, err := m.Marshal()
	return mem.BufferSlice{mem.SliceBuffer(b)}, err
}

// Unmarshal implements encoding.CodecV2.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(message)
	if !ok {
		return fmt.Errorf("%T is no message of Thanos", v)
	}
	return m.Unmarshal(data.Materialize()) //nolint:misspell // its name
}

// Name is that of gRPC's own codec: the bytes are the same.
func (codec) Name() string { return "proto" }
