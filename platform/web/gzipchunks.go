package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
)

const (
	// compressedPiece is the number of compressed bytes that are sent at once.
	compressedPiece = 16 << 10
	// compressWithin is the time after which what has been compressed is sent, so that the client of a
	// slow source receives something and proxies do not close the connection.
	compressWithin = time.Second
)

// compressedChunks compresses the parts of a body. It needs the memory of one compressor and one
// part. The error of a part is returned as it is, without the end of the compressed data, so that
// an incomplete body cannot be mistaken for a complete one.
type compressedChunks struct {
	source Chunks
	out    bytes.Buffer
	writer *gzip.Writer
	done   bool
}

func gzipChunks(source Chunks) *compressedChunks {
	c := &compressedChunks{source: source}
	c.writer, _ = gzip.NewWriterLevel(&c.out, gzipLevel) // the level is valid
	return c
}

func (c *compressedChunks) Next(ctx context.Context) ([]byte, error) {
	if c.done {
		return nil, io.EOF
	}
	c.out.Reset()
	for since := time.Now(); c.out.Len() < compressedPiece; {
		piece, err := c.source.Next(ctx)
		if errors.Is(err, io.EOF) {
			c.done = true
			return c.piece(c.writer.Close())
		}
		if err != nil {
			return nil, err
		}
		if _, err := c.writer.Write(piece); err != nil {
			return nil, err
		}
		if time.Since(since) > compressWithin {
			return c.piece(c.writer.Flush())
		}
	}
	return c.out.Bytes(), nil
}

func (c *compressedChunks) piece(err error) ([]byte, error) { return c.out.Bytes(), err }

func (c *compressedChunks) Close() { c.source.Close() }
