package filetransfer

import "encoding/binary"

const (
	frameSize = 16
	hashSize  = 32
	nothing   = 1<<32 - 1 // the length in an answer that brings nothing
)

// frame is a request, or the beginning of an answer: so many bytes of a file from an offset.
type frame struct {
	file   uint32
	offset int64
	length uint32
}

func (f frame) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, f.file)
	b = binary.BigEndian.AppendUint64(b, uint64(f.offset))
	return binary.BigEndian.AppendUint32(b, f.length)
}

// parseFrame reads a frame of 16 bytes. It checks only that the offset is one.
func parseFrame(b []byte) (frame, error) {
	f := frame{file: binary.BigEndian.Uint32(b), length: binary.BigEndian.Uint32(b[12:])}
	offset := binary.BigEndian.Uint64(b[4:])
	if offset > maxSize {
		return frame{}, violation("an offset is out of range")
	}
	f.offset = int64(offset)
	return f, nil
}

// checkRequest judges a request for bytes of a file of the given size.
func (f frame) checkRequest(size int64) error {
	switch {
	case f.length == 0 || f.length > blockSize || f.offset%blockSize+int64(f.length) > blockSize:
		return violation("a request is not for one block")
	case size == unknownSize && (f.length != blockSize):
		return violation("a request is not for a whole block of a file without a size")
	case size != unknownSize && f.offset+int64(f.length) > size:
		return violation("a request goes beyond the end of a file")
	}
	return nil
}

// checkAnswer judges the beginning of an answer to a request.
func (f frame) checkAnswer(request frame, size int64) error {
	switch {
	case f.file != request.file || f.offset != request.offset:
		return violation("an answer is not to the request")
	case f.length == nothing:
		return nil
	case f.length > request.length, size != unknownSize && f.length != request.length:
		return violation("an answer has a length that was not asked for")
	}
	return nil
}
