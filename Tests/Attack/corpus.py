"""Forms of a request that two programs could read in two ways, or one program wrongly.

Each is the bytes of one request; what follows it on the connection must not be read as a request where `closes`.
"""

import collections

Form = collections.namedtuple("Form", "name data statuses closes")
POST = "POST /api/account/login/ HTTP/1.1\r\nHost: a\r\n"
GET = "GET /media/x HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"


def _form(name, text, *statuses, closes=True):
    data = text if isinstance(text, bytes) else text.encode("latin-1")
    return Form(name, data, statuses or (400,), closes)


# What a general HTTP library rejects by itself; regression tests.
REJECTED = [
    _form("CL then TE", POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    _form("TE then CL", POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    _form("two equal CL", POST + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
    _form("two different CL", POST + "Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}"),
    _form("CL list", POST + "Content-Length: 2, 2\r\n\r\n{}"),
    _form("CL with plus", POST + "Content-Length: +2\r\n\r\n{}"),
    _form("CL negative", POST + "Content-Length: -1\r\n\r\n{}"),
    _form("CL hexadecimal", POST + "Content-Length: 0x2\r\n\r\n{}"),
    _form("CL empty", POST + "Content-Length:\r\n\r\n{}"),
    _form("CL overflow", POST + "Content-Length: 18446744073709551618\r\n\r\n{}"),
    _form("CL with blank inside", POST + "Content-Length: 2 2\r\n\r\n{}"),
    _form("CL with underscore", POST + "Content-Length: 1_0\r\n\r\n{}"),
    _form("TE chunked, identity", POST + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    _form("TE xchunked", POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    _form("TE twice", POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    _form("TE twice, second other", POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n"),
    _form("TE empty", POST + "Transfer-Encoding:\r\n\r\n0\r\n\r\n"),
    _form("TE quoted", POST + 'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'),
    _form("TE with parameter", POST + "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
    _form("TE leading comma", POST + "Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"),
    _form("VT before chunked", POST + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    _form("space before colon", POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    _form("tab before colon", POST + "Content-Length\t: 2\r\n\r\n{}"),
    _form("obs-fold", POST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    _form("folded first field", "POST /api/account/login/ HTTP/1.1\r\n Host: a\r\n\r\n"),
    _form("bare LF after a field", POST + "X: a\nContent-Length: 2\r\n\r\n{}"),
    _form("bare LF everywhere", GET.replace("\r\n", "\n") + "\n"),
    _form("bare CR in a field", POST + "X: a\rContent-Length: 2\r\n\r\n"),
    _form("bare CR before the end", POST + "X: a\r\r\n\r\n"),
    _form("NUL in a field", POST + "X: a\x00b\r\n\r\n"),
    _form("control character in a field", POST + "X: a\x01b\r\n\r\n"),
    _form("empty field name", POST + ": a\r\n\r\n"),
    _form("no colon", POST + "X\r\n\r\n"),
    _form("blank in a field name", POST + "X Y: a\r\n\r\n"),
    _form("chunk size 0x1", CHUNKED + "0x1\r\na\r\n0\r\n\r\n"),
    _form("chunk size 1_0", CHUNKED + "1_0\r\naaaaaaaaaaaaaaaa\r\n0\r\n\r\n"),
    _form("chunk size negative", CHUNKED + "-1\r\na\r\n0\r\n\r\n"),
    _form("chunk size plus", CHUNKED + "+1\r\na\r\n0\r\n\r\n"),
    _form("chunk size overflow", CHUNKED + "10000000000000001\r\na\r\n0\r\n\r\n"),
    _form("chunk size blank", CHUNKED + " 1\r\na\r\n0\r\n\r\n"),
    _form("chunk size empty", CHUNKED + "\r\na\r\n0\r\n\r\n"),
    _form("LF ends a chunk line", CHUNKED + "1\na\r\n0\r\n\r\n"),
    _form("LF in a chunk extension", CHUNKED + "1;a\nb\r\na\r\n0\r\n\r\n"),
    _form("CR in a chunk extension", CHUNKED + "1;a\rb\r\na\r\n0\r\n\r\n"),
    _form("chunk overrun", CHUNKED + "1\r\nabc\r\n0\r\n\r\n"),
    _form("chunk without CR LF", CHUNKED + "1\r\na0\r\n\r\n"),
    _form("trailer Content-Length", CHUNKED + "0\r\nContent-Length: 5\r\n\r\n"),
    _form("trailer Host", CHUNKED + "0\r\nHost: evil\r\n\r\n"),
    _form("trailer Authorization", CHUNKED + "0\r\nAuthorization: Bearer x\r\n\r\n"),
    _form("trailer Transfer-Encoding", CHUNKED + "0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    _form("raw UTF-8 target", "GET /media/\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"),
    _form("HTTP/0.9", "GET /media/x\r\n\r\n"),
    _form("HTTP/0.9 as it was", "GET /media/x\r\n"),
    _form("HTTP/1.2", "GET /media/x HTTP/1.2\r\nHost: a\r\n\r\n", 400, 505),
    _form("HTTP/2.0", "GET /media/x HTTP/2.0\r\nHost: a\r\n\r\n", 400, 505),
    _form("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505),
    _form("version in lower case", "GET /media/x http/1.1\r\nHost: a\r\n\r\n"),
    _form("no version digit", "GET /media/x HTTP/1.\r\nHost: a\r\n\r\n"),
    _form("lower-case method", "get /media/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, 405, 501),
    _form("two blanks in the line", "GET  /media/x HTTP/1.1\r\nHost: a\r\n\r\n"),
    _form("tab in the line", "GET\t/media/x HTTP/1.1\r\nHost: a\r\n\r\n"),
    _form("blank before the method", " GET /media/x HTTP/1.1\r\nHost: a\r\n\r\n"),
    _form("blank in the target", "GET /media/x y HTTP/1.1\r\nHost: a\r\n\r\n"),
    _form("100 KB field", GET + "X: " + "a" * 100_000 + "\r\n\r\n", 431),
    _form("1 MB target", "GET /" + "a" * 1_000_000 + " HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    _form("TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64),
]

# What a general library lets through, and this gateway must not.
MISHANDLED = [
    _form("no Host", "GET /media/x HTTP/1.1\r\n\r\n"),
    _form("two Hosts", GET + "Host: b\r\n\r\n"),
    _form("two equal Hosts", GET + "Host: a\r\n\r\n"),
    _form("empty Host", "GET /media/x HTTP/1.1\r\nHost:\r\n\r\n"),
    _form("Host with a path", "GET /media/x HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    _form("Host with an account", "GET /media/x HTTP/1.1\r\nHost: a@b\r\n\r\n"),
    _form("absolute form, other host", "GET http://b/media/x HTTP/1.1\r\nHost: a\r\n\r\n", closes=False),
    _form("absolute form, account", "GET http://a@b/media/x HTTP/1.1\r\nHost: a\r\n\r\n", closes=False),
    _form("asterisk", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", closes=False),
    _form("TE gzip, chunked", POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    _form("TE on HTTP/1.0", "POST /api/account/login/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    _form(
        "TE and CL on HTTP/1.0",
        "POST /api/account/login/ HTTP/1.0\r\nContent-Length: 5\r\n" "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    _form("unknown expectation", POST + "Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}", 417),
    _form("101 fields", GET + "X: a\r\n" * 100 + "\r\n", 431),
    _form("17 KiB of fields", GET + "".join(f"X{n}: {'a' * 1000}\r\n" for n in range(17)) + "\r\n", 431),
    _form("two Authorizations", GET + "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n"),
    _form("Connection: Authorization", GET + "Connection: Authorization\r\n\r\n"),
    _form("Connection: Host", GET + "Connection: Host\r\n\r\n"),
    _form("Connection: Content-Length", POST + "Connection: Content-Length\r\nContent-Length: 2\r\n\r\n{}"),
    _form("Connection: X-Request-Id", GET + "Connection: close, X-Request-Id\r\n\r\n"),
    _form("TRACE", "TRACE /media/x HTTP/1.1\r\nHost: a\r\n\r\n", 405, 501, closes=False),
    _form("CONNECT", "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400, 405, 501, closes=False),
    _form("two Content-Types", POST + "Content-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 2\r\n\r\n{}"),
]

# In good order, and to be answered as such: a gateway that refuses everything would pass the rest.
GOOD = [
    _form("plain", GET + "\r\n", 200, closes=False),
    _form("empty lines before", "\r\n\r\n" + GET + "\r\n", 200, closes=False),
    _form("length", POST + "Content-Length: 2\r\n\r\n{}", 200, closes=False),
    _form("length 0", POST + "Content-Length: 0\r\n\r\n", 200, closes=False),
    _form("chunks", CHUNKED + "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", 200, closes=False),
    _form("chunk extension", CHUNKED + "2;a=b\r\n{}\r\n0\r\n\r\n", 200, closes=False),
    _form("chunk size with zeros", CHUNKED + "0002\r\n{}\r\n000\r\n\r\n", 200, closes=False),
    _form("harmless trailer", CHUNKED + "2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n", 200, closes=False),
    _form("TE in capitals", POST + "TRANSFER-ENCODING: Chunked\r\n\r\n0\r\n\r\n", 200, closes=False),
    _form("absolute form, same host", "GET http://a/media/x HTTP/1.1\r\nHost: a\r\n\r\n", 200, closes=False),
    _form(
        "h2c upgrade",
        GET + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
        200,
        closes=False,
    ),
    _form("100 fields", GET + "X: a\r\n" * 99 + "\r\n", 200, closes=False),
    _form("HTTP/1.0", "GET /media/x HTTP/1.0\r\n\r\n", 200),
]
HOSTILE = REJECTED + MISHANDLED
EVERYTHING = HOSTILE + GOOD
