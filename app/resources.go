package app

// sharedResource is an entry of the table of shared resources: who may hold how much of it, and what
// happens beyond (SPEC F10). TestResources renders the table into docs/security.md, and fails for a
// limit of the code that no entry covers and for a test that does not exist.
//
// Texts name a setting as {NAME} and a constant as {folder.name}, so that the table shows the values of
// the code: {STREAMS_PER_ACCOUNT}, {modules/webhooks.Slots}.
type sharedResource struct {
	name      string
	address   string // the limit of one network address
	account   string // the limit of one account
	remainder string // the capacity, and why other accounts get their part of it
	beyond    string // the response beyond the limit
	// covers are the places of the code that implement or use the limit:
	//
	//	code C         the code of a 429, or of a conflict "too-many-..."
	//	bulkhead P.F   bulkhead.New in package P for the field F, or in the function F
	//	batch P.F      batch.New, likewise
	//	queue Q        a queue of River
	//	policy P       a policy of redis.Middleware
	//	count P.F      a call of redis.Limiter in the function F
	//	NAME           a setting
	covers []string
	tests  []string // "modules/webhooks TestTestsAreBounded"
}

// sharedResources are all resources that accounts share. Limits are per node unless they say otherwise.
var sharedResources = []sharedResource{
	{
		name:      "requests",
		address:   "{RATE_LIMIT} for all requests without a credential; `RATE_LIMIT_PER_ADDRESS` ({config.callersPerAddress} times `RATE_LIMIT`) for those of all accounts together",
		account:   "{RATE_LIMIT}, keys included",
		remainder: "each account and address has its own limit, over all nodes",
		beyond:    "429 `rate-limited`, whose `policy` is `default` or `address`",
		covers:    []string{"code rate-limited", "policy default", "policy address", "RATE_LIMIT", "RATE_LIMIT_PER_ADDRESS"},
		tests:     []string{"app TestLimitIsExactOverTwoNodes", "app TestKeysShareTheirOwnersLimit", "app TestAccountsOfAnAddressShareALimit_F14"},
	},
	{
		name:      "invalid credentials",
		address:   "as many as `RATE_LIMIT` has requests",
		remainder: "each address has its own limit; keys that were valid lately are not affected",
		beyond:    "429 `too-many-attempts`",
		covers:    []string{"code too-many-attempts"},
		tests:     []string{"modules/auth TestMadeUpCredentialsAreBounded", "modules/auth TestMisses", "modules/auth TestTokensOfEndedSessionsAreCheap_F10"},
	},
	{
		name:      "attempts at passwords",
		address:   "{LOGIN_RATE_LIMIT}, over all nodes",
		account:   "{LOGIN_RATE_LIMIT}, over all nodes",
		remainder: "networks with a session of the account are not affected by attempts from others",
		beyond:    "429 `too-many-attempts`",
		covers:    []string{"code too-many-attempts", "LOGIN_RATE_LIMIT", "count modules/auth.begin", "count modules/auth.fromUnknown"},
		tests:     []string{"app TestGuessesAreCountedExactly", "app TestOwnerIsNotLockedOut"},
	},
	{
		name:      "hashing for log-ins and password changes",
		address:   "{modules/users.queuePerAddress} waiting for each place",
		remainder: "networks with a session of the account come first, and leave one hash in nine to others; addresses are served in turn; the number of places is the number of cores minus one",
		beyond:    "503 `busy`, which is not counted as an attempt",
		covers:    []string{"bulkhead modules/users.newCapacity"},
		tests:     []string{"modules/users TestAddressesTakeTurns", "modules/users TestFamiliarNetworksComeFirst_A2", "modules/users TestLogInsComeBeforeRegistrations"},
	},
	{
		name:    "hashing for registrations",
		address: "{modules/users.queuePerAddress} waiting for each place",
		remainder: "log-ins have priority: registrations get one hash in nine while both wait; if there are several places, one is reserved for log-ins; " +
			"{modules/users.queueLength} wait for each place",
		beyond: "429 `too-many-registrations` for one address, 503 `busy` for all, at once",
		covers: []string{"bulkhead modules/users.newCapacity", "code too-many-registrations"},
		tests:  []string{"modules/users TestLogInsComeBeforeRegistrations", "modules/users TestRegistrationsDoNotStarve"},
	},
	{
		name:      "new accounts",
		address:   "`REGISTRATION_RATE_LIMIT` (30/1m in production), over all nodes",
		remainder: "each address has its own limit",
		beyond:    "429 `too-many-registrations` before anything is hashed",
		covers:    []string{"code too-many-registrations", "REGISTRATION_RATE_LIMIT", "count modules/users.begin"},
		tests:     []string{"app TestRegistrationsOfAnAddressAreCountedExactly", "modules/users TestRegistrationsAreCounted"},
	},
	{
		name:      "e-mail",
		address:   "{LOGIN_RATE_LIMIT} for requests to reset a password",
		account:   "3 messages of a kind at once and then one in half an hour, counted by e-mail address; notices about API keys: 1 of a kind in five minutes",
		remainder: "10 at once on a node, in a queue of their own",
		beyond:    "429 `too-many-messages`; a reset answers 202 and sends nothing",
		covers:    []string{"code too-many-messages", "count modules/users.count", "queue users.Queue"},
		tests:     []string{"modules/users TestMessagesAreLimited_A9"},
	},
	{
		name:      "sessions",
		account:   "{SESSIONS_PER_ACCOUNT}, over all nodes",
		remainder: "each account has its own limit",
		beyond:    "the one that was unused for longest ends",
		covers:    []string{"SESSIONS_PER_ACCOUNT"},
		tests:     []string{"modules/auth TestSessionsOfAnAccountAreLimited_F10"},
	},
	{
		name:      "refresh tokens",
		account:   "{modules/auth.refreshBurst} at once and then one in {modules/auth.refreshEvery} for each session, over all nodes; a session has two rows",
		remainder: "each session has its own limit",
		beyond:    "429 `too-many-refreshes`; the token stays valid",
		covers:    []string{"code too-many-refreshes"},
		tests:     []string{"modules/auth TestRefreshesAreLimited_A4", "modules/auth TestRefreshesOfAllTokensAtOnce_A4"},
	},
	{
		name:      "API keys",
		account:   "{modules/auth.maxKeys}",
		remainder: "each account has its own limit",
		beyond:    "409 `too-many-keys`",
		covers:    []string{"code too-many-keys"},
		tests:     []string{"modules/auth TestNumberOfKeys"},
	},
	{
		name:      "orders",
		account:   "{ORDER_RATE_LIMIT}, one by one or in bulk, over all nodes",
		remainder: "each account has its own limit",
		beyond:    "429 `too-many-orders`, whose `policy` is `orders`; 422 for a bulk request with more orders than the limit ever allows",
		covers:    []string{"code too-many-orders", "ORDER_RATE_LIMIT", "count app.Take"},
		tests:     []string{"app TestOrdersAreCountedExactly_F13", "app TestReplaysCostNoOrders_F13", "app TestOrderBudgetWithoutRedis_F13"},
	},
	{
		name: "job slots of orders, which also hold the requests to payment providers and to the services of steps",
		account: "all that are free; the job of an order waits behind those of other accounts with fewer than {modules/orders.firstLimit}, " +
			"{modules/orders.secondLimit} or {modules/orders.thirdLimit} waiting orders",
		remainder: "{WORKER_SLOTS}; another account's order is the next to be served, after at most {modules/orders.firstLimit} orders of each other account and node. " +
			"A job that has waited {modules/orders.promoteAfter} is promoted, {modules/orders.promoteAtOnce} in a second on each node",
		beyond: "the order waits as PENDING",
		covers: []string{"queue river.QueueDefault", "WORKER_SLOTS", "batch modules/orders.advancing"},
		tests: []string{
			"modules/orders TestABacklogDoesNotDelayOthers_F13", "modules/orders TestPrioritiesOfABacklog_F13", "modules/orders TestNoJobStarves_F13",
			"platform/queue TestPromote_F13",
		},
	},
	{
		name:      "calls to the payment provider",
		account:   "one failure in 10 s counts; after ten in a row only the orders of this account wait",
		remainder: "the breaker of the node opens after ten failures of several accounts",
		beyond:    "the orders wait, without using up attempts",
		tests:     []string{"internal/breaker TestCallers_D4"},
	},
	{
		name:      "unpaid stock",
		account:   "no limit: as in Saleor and Medusa, a reservation is bounded in time, because a business customer may order all there is",
		remainder: "all of it is back after {RESERVATION_TTL}",
		beyond:    "`out-of-stock` until the reservations expire",
		tests:     []string{"modules/orders TestProviderIsAway"},
	},
	{
		name:      "places in a transaction that is shared by concurrent requests (placing and reading an order)",
		account:   "one for each request in progress",
		remainder: "10,000 waiting requests on a node; a transaction serves up to 500 of them, in the order of their arrival",
		beyond:    "503 `unavailable`",
		covers:    []string{"batch modules/orders.placing", "batch modules/orders.getting"},
		tests:     []string{"platform/batch TestBusy"},
	},
	{
		name:      "bytes of request bodies in memory",
		address:   "a third, for all requests without a credential together",
		account:   "a third",
		remainder: "{platform/web.BodyBudget} in a process, a twelfth of its memory limit if that is less; two thirds stay for others",
		beyond:    "429 `too-many-bodies`; 503 `busy` when all are taken",
		covers:    []string{"code too-many-bodies"},
		tests:     []string{"platform/web TestBudget", "platform/web TestBodiesShareABudget"},
	},
	{
		name:      "processing of bodies above 1 MiB (bulk requests)",
		account:   "one",
		remainder: "{platform/web.LargeBodies}, one for each {app.memoryOfABody} of the memory limit if that is less; accounts are served in turn",
		beyond:    "429 `too-many-bodies` after {platform/web.receiveWait}; 503 `busy`",
		covers:    []string{"code too-many-bodies", "bulkhead platform/web.receiving", "bulkhead platform/web.processing"},
		tests:     []string{"platform/web TestLargeBodiesAreBounded", "modules/orders TestRefusedBulkCostsTheSame_C11"},
	},
	{
		name:      "database connections",
		account:   "one for each request in progress, for at most 4 s a statement; those of expensive reads and exports are limited below",
		remainder: "{DATABASE_MAX_CONNS}; expensive reads and exports get at most a quarter each",
		beyond:    "503 `unavailable` after 2 s of waiting",
		covers:    []string{"DATABASE_MAX_CONNS"},
		tests:     []string{"modules/notifications TestOneAccountDoesNotReadForAll", "platform/postgres TestExhausted"},
	},
	{
		name: "expensive reads: pages of the event log, catching up of sockets and streams, statistics",
		account: "half of the slots over all kinds; {internal/reads.pagesPerAccount} requests for pages and {internal/reads.statsPerAccount} for statistics " +
			"wait",
		remainder: "the slots are a quarter of `DATABASE_MAX_CONNS`, 1 to {internal/reads.mostSlots}; accounts and kinds are served in turn; live events need no slot",
		beyond: "429 `too-many-reads` if no waiting place is free; 503 `busy` for a request that waited until its deadline; a stream that waited 20 s is closed " +
			"with 1011 and can resume",
		covers: []string{"code too-many-reads", "bulkhead internal/reads.slots"},
		tests: []string{
			"internal/reads TestAnAccountHasHalf", "modules/notifications TestOneAccountDoesNotReadForAll", "modules/orders TestStatsOfAnAccountTakeTurns",
		},
	},
	{
		name:      "exports",
		account:   "one, over all nodes, for at most {modules/orders.exportTime}",
		remainder: "{modules/orders.exportsAtOnce}, and at most a quarter of the connections; {modules/orders.exportsKept} are reserved for administrators",
		beyond:    "429 `too-many-exports`; 503 `too-many-exports` when the node's are taken",
		covers:    []string{"code too-many-exports"},
		tests:     []string{"modules/orders TestExportsAtOnce_C12", "platform/web TestStreamsAreBounded"},
	},
	{
		name:      "sockets and event streams",
		account:   "{STREAMS_PER_ACCOUNT}",
		remainder: "{modules/notifications.streamsPerNode} on a node",
		beyond:    "429 `too-many-streams` before the upgrade; 503 `busy` when the node is full",
		covers:    []string{"code too-many-streams", "STREAMS_PER_ACCOUNT", "bulkhead modules/notifications.slots"},
		tests:     []string{"modules/notifications TestStreamsOfAnAccountAreBounded", "modules/notifications TestStreamsOfANodeAreBounded"},
	},
	{
		name:      "requests that wait for events (`wait=`)",
		account:   "{modules/notifications.waitsPerAccount}",
		remainder: "{modules/notifications.waitsPerNode} on a node, not counted with the sockets and streams",
		beyond:    "the same",
		covers:    []string{"code too-many-streams", "bulkhead modules/notifications.slots"},
		tests:     []string{"modules/notifications TestWaitingRequestsOfAnAccountAreBounded"},
	},
	{
		name:      "webhooks",
		account:   "{modules/webhooks.maxWebhooks}",
		remainder: "each account has its own limit; administrators share {modules/webhooks.maxOfAll} webhooks for the orders of all users",
		beyond:    "409 `too-many-webhooks`",
		covers:    []string{"code too-many-webhooks"},
		tests:     []string{"modules/webhooks TestTooMany"},
	},
	{
		name:      "secrets of a webhook",
		account:   "the present one, the previous one and {modules/webhooks.maxEarlier} before it, of each webhook",
		remainder: "each webhook has its own limit; a replaced secret signs for a day",
		beyond:    "409 `too-many-secrets`",
		covers:    []string{"code too-many-secrets"},
		tests:     []string{"modules/webhooks TestRotations_E8"},
	},
	{
		name: "requests to webhooks",
		account: "{modules/webhooks.ownerSlots} slots, and no further one unless more are free than the account holds; {modules/webhooks.endpointSlots} for one " +
			"endpoint",
		remainder: "{modules/webhooks.Slots} slots; another owner finds a free one. The first {modules/webhooks.firstOfOwner} deliveries of an owner in a page of " +
			"events have priority over its others, and retries come last",
		beyond: "the delivery is postponed",
		covers: []string{"queue webhooks.Queue", "bulkhead modules/webhooks.slots"},
		tests:  []string{"modules/webhooks TestOneOwnerDoesNotTakeAllSlots", "modules/webhooks TestSharesOfManyOwners", "modules/webhooks TestTriesThatWaitComeBackRarely"},
	},
	{
		name:      "tests of webhooks",
		account:   "{modules/webhooks.testsAtOnce}, one of an endpoint, in the same slots",
		remainder: "the same",
		beyond:    "429 `too-many-tests`; 503 `busy` when the node's slots are taken",
		covers:    []string{"code too-many-tests", "bulkhead modules/webhooks.newShares"},
		tests:     []string{"modules/webhooks TestTestsAreBounded"},
	},
	{
		name:      "creating deliveries of webhooks",
		account:   "{modules/webhooks.inlineOfOwner} in a page of {platform/events.readerPage} events",
		remainder: "{modules/webhooks.inlineOfPage} in a page; what others leave of it is divided between the owners with more",
		beyond:    "the other deliveries of the owner are created by a job, a page a turn with other such owners",
		tests:     []string{"modules/webhooks TestQuota_F10", "modules/webhooks TestOneOwnerDoesNotDelayOthers_F10"},
	},
	{
		name:      "writing events to inboxes",
		account:   "the events of its orders, which `ORDER_RATE_LIMIT` bounds; one notification for an event at most",
		remainder: "in the order of the log, pages of {platform/events.readerPage} events; not divided between accounts",
		beyond:    "notifications of all accounts are later",
		tests:     []string{"app TestOrdersAreCountedExactly_F13"},
	},
	{
		name:      "stored responses, notifications, deliveries, entries of the audit trail",
		account:   "as many as its requests and orders cause, which `RATE_LIMIT` and `ORDER_RATE_LIMIT` bound; attempts that fail are counted in a bounded number of entries",
		remainder: "rows are deleted after a day, `NOTIFICATION_RETENTION`, `WEBHOOK_RETENTION` and `AUDIT_RETENTION`",
		beyond:    "429 `rate-limited`, 429 `too-many-orders`",
		tests:     []string{"platform/audit TestFloodIsBounded_F11", "platform/idempotency TestAfterADay"},
	},
}
