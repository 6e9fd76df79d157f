package redislink

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

// LogTo sends the client library's own lines, which else go to standard error as plain
// text, to logger at debug level: what matters of them reaches callers as an error. It is
// process-wide; main calls it once, before the first client.
func LogTo(logger *zap.Logger) { redis.SetLogger(clientLog{logger.Named("redis")}) }

type clientLog struct{ logger *zap.Logger }

// Printf implements the library's logger.
func (l clientLog) Printf(_ context.Context, format string, args ...any) {
	if ce := l.logger.Check(zap.DebugLevel, "redis client"); ce != nil {
		ce.Write(zap.String("line", fmt.Sprintf(format, args...)))
	}
}
