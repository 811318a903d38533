import Foundation
import HTTPTypes
import Logging
import TokenBroker
import TokenBrokerComposer

let session = AuthenticatorPlugin("shop-session", "The shop's session cookie.") { _ in
    ClosureAuthenticator { request in
        request.head.headerFields[.cookie] == "session=of-ada" ? Principal(subject: "ada") : nil
    }
}

var registry = Registry.standard
try registry.register(CompanySecrets.plugin)
try registry.register(session)
try registry.register(
    OwnOrders.plugin([
        "inv_1": .init(customer: "cus_ada", owner: "ada", age: .seconds(3600)),
        "inv_2": .init(customer: "cus_bob", owner: "bob", age: .seconds(3600)),
        "inv_3": .init(customer: "cus_ada", owner: "ada", age: .seconds(30 * 3600)),
    ])
)

let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
let file = CommandLine.arguments.dropFirst().first ?? folder.appending(path: "broker.yaml").path
let broker: Broker
do {
    broker = try await Composer(registry: registry).compose(
        .load(file), transport: inMemoryServers, logger: Logger(label: "shop")
    )
} catch {
    print("shop: \(error)")
    exit(78)
}

/// Returns the status that a page would get.
func answer(customer: String, invoice: String, cookie: String) async -> Int {
    let request = EndpointRequest(
        head: HTTPRequest(
            method: .post, scheme: "https", authority: "shop.example", path: "/api/checkout-token",
            headerFields: [.contentType: "application/json", .cookie: cookie, .origin: "https://shop.example"]
        ),
        body: EndpointBody(Array(#"{"customerId": "\#(customer)", "invoiceId": "\#(invoice)"}"#.utf8))
    )
    return await broker.endpoints.respond(to: request)?.head.status.code ?? 404
}

var unexpected = 0
for (customer, invoice, cookie, expected) in [
    ("cus_ada", "inv_1", "session=of-ada", 200),
    ("cus_bob", "inv_2", "session=of-ada", 403),
    ("cus_ada", "inv_3", "session=of-ada", 403),
    ("cus_ada", "inv_1", "session=unknown", 401),
] {
    let status = await answer(customer: customer, invoice: invoice, cookie: cookie)
    print("\(cookie) asks for \(invoice) of \(customer): \(status)")
    if status != expected { unexpected += 1 }
}
await broker.shutdown()
exit(unexpected == 0 ? 0 : 1)
