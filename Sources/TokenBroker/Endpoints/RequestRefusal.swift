import Logging

/// Why there is no token: what is answered, and what is logged besides.
struct RequestRefusal: Error {
    var problem: Problem
    var reason: Audit.Reason
    /// Safe to log.
    var error: String?
    /// What else is logged. Safe to log.
    var metadata: Logger.Metadata = [:]

    init(_ problem: Problem, _ reason: Audit.Reason, detail: AccessRefusal? = nil, error: String? = nil) {
        self.problem = problem
        self.reason = reason
        self.error = error
        if let detail { metadata["detail"] = "\(detail)" }
    }
}
