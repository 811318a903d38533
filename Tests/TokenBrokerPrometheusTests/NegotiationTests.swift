import Testing
import TokenBrokerPrometheus

struct NegotiationTests {
    @Test(arguments: [
        // Prometheus 2.x, 3.x, and 3.x that asks for protocol buffers first.
        "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
            + "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
            + "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
            + "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"
            + "application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5,text/plain;version=0.0.4;q=0.3",
        "application/openmetrics-text", "Application/OpenMetrics-Text; Version=\"1.0.0\"; Charset=UTF-8",
        "application/openmetrics-text; version=1.0.0; charset=utf-8", "application/openmetrics-text,text/plain",
        "text/plain,application/openmetrics-text", "application/openmetrics-text, */*", "application/*",
        "text/plain;q=0,*/*", "*/*;q=0.1, application/*;q=0.2", ", ,application/openmetrics-text;version=1.0.0,,",
        "text/plain;q=0.999,application/openmetrics-text;q=1.000", "application/openmetrics-text;;q=0.5;",
        "application/openmetrics-text;q=0.1,application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.5",
        "application/openmetrics-text\t;\tq=0.5", "text/html;a=\",application/json\\\"\",application/openmetrics-text",
    ])
    func `a client that prefers OpenMetrics gets it`(accept: String) {
        #expect(ExpositionFormat(accept: accept) == .openMetrics)
    }

    @Test(arguments: [
        nil, "", " ", ",", "*/*", "text/plain", "text/html", "application/json", "text/*, application/*",
        // A version that is not the one on offer.
        "application/openmetrics-text;version=2.0.0", "application/openmetrics-text;version=0.0.1,text/plain;q=0.5",
        "application/openmetrics-text;version=1.0", "application/openmetrics-text;version=\"\"",
        "application/openmetrics-text;charset=iso-8859-1", "application/openmetrics-text;profile=x",
        "application/openmetrics-text;version=2.0.0;q=0.9,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
        // The text format is preferred, or OpenMetrics is refused.
        "application/openmetrics-text;q=0", "application/openmetrics-text;q=0.000,*/*",
        "application/openmetrics-text;version=1.0.0;q=0,application/openmetrics-text,*/*;q=0.5",
        "application/openmetrics-text;q=0.5,text/plain;q=0.501", "application/openmetrics-text;q=0.5,*/*",
        "application/*;q=0.5,text/*;q=0.6", "*/*;q=0", "application/openmetrics-text;q=0,text/plain;q=0",
        "x-application/openmetrics-text", "application/openmetrics-text2",
    ])
    func `any other client gets the text format`(accept: String?) {
        #expect(ExpositionFormat(accept: accept) == .text)
    }

    @Test(arguments: [
        "application/openmetrics-text;q=2", "application/openmetrics-text;q=1.001",
        "application/openmetrics-text;q=0.5000", "application/openmetrics-text;q=-1",
        "application/openmetrics-text;q=.5", "application/openmetrics-text;q=", "application/openmetrics-text;q",
        "application/openmetrics-text;q=0,5", "application/openmetrics-text;q=1e0", "application/openmetrics-text;q=１",
        "application/openmetrics-text;q=0x", "application/openmetrics-text;q=00",
        "application /openmetrics-text", "application/", "/openmetrics-text", "application", "*",
        "*/openmetrics-text", "application/openmetrics-text;version=\"1.0.0",
        "application/openmetrics-text;version=\"1.0.0\\", "application/openmetrics-text;version = 1.0.0",
        "application/openmetrics-text text/plain", "application/openmetrics-text;version=1.0.0\n",
        "application/openmetrics-text;\0", "text/plain;q=0.1,application/openmetrics-text,(", "é/é",
    ])
    func `a malformed field gets the text format`(accept: String) {
        #expect(ExpositionFormat(accept: accept) == .text)
    }

    @Test func `no field makes the parser fail`() {
        let field = Array("application/openmetrics-text;version=\"1.0\\.0\";q=0.5 , text/plain;q=0.3,*/*;q=0.2".utf8)
        #expect(ExpositionFormat(accept: String(decoding: field, as: UTF8.self)) == .openMetrics)
        for index in field.indices {
            _ = ExpositionFormat(accept: String(decoding: field[..<index], as: UTF8.self))
            for byte in "\0 ,;=\"\\/*q19".utf8 {
                var changed = field
                changed[index] = byte
                _ = ExpositionFormat(accept: String(decoding: changed, as: UTF8.self))
            }
        }
        #expect(ExpositionFormat(accept: String(repeating: "a/b;", count: 100_000)) == .text)
    }

    @Test func `the content types name the versions`() {
        #expect(ExpositionFormat.text.contentType == "text/plain; version=0.0.4; charset=utf-8")
        #expect(
            ExpositionFormat.openMetrics.contentType
                == "application/openmetrics-text; version=1.0.0; charset=utf-8")
        for format in ExpositionFormat.allCases { #expect(ExpositionFormat(accept: format.contentType) == format) }
    }
}
