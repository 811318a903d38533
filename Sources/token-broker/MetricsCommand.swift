#if CommandLineSupport
import ArgumentParser
import TokenBroker

struct MetricsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "metrics",
        abstract: "List every metric that 'serve' provides at metrics.port, with its type and labels.",
        discussion: "The table in docs/metrics.md is its output with '--format markdown'."
    )

    @Option(help: "The format of the output: text, markdown or json.")
    var format = Plugins.Format.text

    func run() async throws {
        switch format {
        case .text: try printResult(text)
        case .markdown: try printResult(markdown)
        case .json: try printResult(json)
        }
    }

    private var text: String {
        Metric.all.map { metric in
            let labels = metric.labels.map(\.name).joined(separator: ", ")
            return "\(metric.name)\(labels.isEmpty ? "" : "{\(labels)}")  \(metric.shownKind)\n    \(metric.help)"
        }
        .joined(separator: "\n")
    }

    private var markdown: String {
        let rows = Metric.all.map { metric in
            let labels = metric.labels.map { "`\($0.name)`: \($0.values)" }.joined(separator: "; ")
            return "| `\(metric.name)` | \(metric.shownKind) | \(labels) | \(metric.help) |"
        }
        return (["| metric | type | labels | meaning |", "| --- | --- | --- | --- |"] + rows).joined(separator: "\n")
    }

    private var json: String {
        let metrics = Metric.all.map { metric in
            JSONValue.object([
                "name": .string(metric.name), "type": .string(metric.shownKind), "help": .string(metric.help),
                "labels": .array(metric.labels.map { .string($0.name) }),
            ])
        }
        return String(decoding: JSONValue.array(metrics).serialized, as: UTF8.self)
    }
}

extension Metric {
    /// The type as Prometheus names it.
    fileprivate var shownKind: String { kind == .timer ? "histogram" : kind.rawValue }
}
#endif
