"""BankID orders that link"""

import sqlalchemy as sa
from alembic import op

from idp.users.sorting import MAX_KEY, sort_key

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("bankid_orders", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("purpose", sa.String(length=10), nullable=False, server_default="login")
        )
        batch_op.add_column(sa.Column("user_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("visible_format", sa.String(length=20), nullable=True))
    _add_sort_keys()


def _add_sort_keys() -> None:
    key = sa.String(MAX_KEY).with_variant(sa.String(MAX_KEY, collation="C"), "postgresql")
    op.add_column("users", sa.Column("name_key", key, server_default="", nullable=False))
    op.add_column("users", sa.Column("title_key", key, nullable=True))
    names = ("id", "name", "title", "name_key", "title_key")
    users = sa.table("users", *(sa.column(name) for name in names))
    connection = op.get_bind()
    for row in connection.execute(sa.select(users.c.id, users.c.name, users.c.title)).all():
        connection.execute(
            sa.update(users)
            .where(users.c.id == row.id)
            .values(name_key=sort_key(row.name), title_key=sort_key(row.title) if row.title else None)
        )
    op.create_index(op.f("ix_users_company_id_name_key"), "users", ["company_id", "name_key", "id"])
    op.create_index(op.f("ix_users_company_id_email_key"), "users", ["company_id", "email_key"])
    op.create_index(op.f("ix_users_company_id_status"), "users", ["company_id", "status", "name_key", "id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_users_company_id_status"), table_name="users")
    op.drop_index(op.f("ix_users_company_id_email_key"), table_name="users")
    op.drop_index(op.f("ix_users_company_id_name_key"), table_name="users")
    op.drop_column("users", "title_key")
    op.drop_column("users", "name_key")
    with op.batch_alter_table("bankid_orders", schema=None) as batch_op:
        for column in ("visible_format", "user_id", "purpose"):
            batch_op.drop_column(column)
