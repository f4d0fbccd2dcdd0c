package app

import "github.com/orderflow-dev/orderflow/platform/web"

// tags group the operations, in the order in which people use them.
var tags = []web.Tag{
	{Name: "Accounts", Description: "Register, log in, refresh a session, and manage your own account."},
	{Name: "Products", Description: "The catalogue and its stock."},
	{Name: "Orders", Description: "Place orders and follow them from the reservation of stock to the delivery."},
	{Name: "Payments", Description: "The ledger and the refunds of an order."},
	{Name: "Events", Description: "Every change of an order, over WebSocket, Server-Sent Events or pages. `/asyncapi.json` describes the messages."},
	{Name: "Notifications", Description: "The inbox of a user."},
	{Name: "Webhooks", Description: "Endpoints of your own to which events are delivered, signed according to Standard Webhooks."},
	{Name: "API keys", Description: "Credentials for programs, with scopes."},
	{Name: "Dead letters", Description: "Steps of orders that failed for good. For administrators."},
	{Name: "Users", Description: "The accounts of all users, and invitations. For administrators."},
	{Name: "Audit trail", Description: "Who changed what. For administrators."},
}
