import Logging

/// The reason why there is no token: the response, and what is logged in addition.
struct RequestRefusal: Error {
    var problem: Problem
    var reason: Audit.Reason
    /// The error, if there is one. Safe to log.
    var error: String?
    /// Additional log metadata. Safe to log.
    var metadata: Logger.Metadata = [:]

    init(_ problem: Problem, _ reason: Audit.Reason, detail: AccessRefusal? = nil, error: String? = nil) {
        self.problem = problem
        self.reason = reason
        self.error = error
        if let detail { metadata["detail"] = "\(detail)" }
    }
}
