import HTTPTypes

/// An error whose description may stand in a log: it has nothing of a request, a secret or what a server said.
///
/// Of any other error only the type is logged. **Write one.** Conform an error of your own whose text you have written yourself.
public protocol SafeToLog: Error, CustomStringConvertible {}

/// The description of an error that is ``SafeToLog``, or else the name of its type.
package func loggable(_ error: any Error) -> String { (error as? any SafeToLog)?.description ?? "\(type(of: error))" }

// Requests and responses carry proofs and tokens. What is made of them as text, or by `dump`, says which and nothing of what is in them.

extension EndpointRequest: CustomStringConvertible, CustomReflectable {
    /// The method only.
    public var description: String { "EndpointRequest(\(head.method.rawValue))" }
    /// Shows no members.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension EndpointResponse: CustomStringConvertible, CustomReflectable {
    /// The status only.
    public var description: String { "EndpointResponse(\(head.status.code))" }
    /// Shows no members.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}

extension TransportResponse: CustomStringConvertible, CustomReflectable {
    /// The status only.
    public var description: String { "TransportResponse(\(head.status.code))" }
    /// Shows no members.
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
