/*
 * sl_compat.h: differences between PostgreSQL releases. Every test of PG_VERSION_NUM lives here.
 */
#ifndef SL_COMPAT_H
#define SL_COMPAT_H

#include "postgres.h"

#if PG_VERSION_NUM < 140000
#error "syncline needs PostgreSQL 14 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/acl.h"

/* Is `roleid` the owner of the table? */
static inline bool
sl_owns_table(Oid relid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(RelationRelationId, relid, roleid);
#else
	return pg_class_ownercheck(relid, roleid);
#endif
}

/* Is `roleid` the owner of the database? */
static inline bool
sl_owns_database(Oid dbid, Oid roleid)
{
#if PG_VERSION_NUM >= 160000
	return object_ownercheck(DatabaseRelationId, dbid, roleid);
#else
	return pg_database_ownercheck(dbid, roleid);
#endif
}

#endif
