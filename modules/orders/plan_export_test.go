package orders

// What tests need to look at plans.
const OldestSQL = oldestSQL

var Exported, Advise = exported, advise
