"""The three requests, with as few statements as Django's own means allow."""
from django.db import transaction
from django.db.models import Prefetch
from django.utils import timezone
from rest_framework import generics, pagination, serializers

from .models import Project, Task, TaskCollaborator, User


class PersonSerializer(serializers.ModelSerializer):
    class Meta:
        model = User
        fields = ["id", "email", "name", "profile_img"]


class CollaboratorSerializer(serializers.ModelSerializer):
    user = PersonSerializer()
    added_by = PersonSerializer()

    class Meta:
        model = TaskCollaborator
        fields = ["user", "added_at", "added_by"]


class TaskSerializer(serializers.ModelSerializer):
    key = serializers.SerializerMethodField()
    project = serializers.PrimaryKeyRelatedField(queryset=Project.objects.only("id"))
    parent_task = serializers.PrimaryKeyRelatedField(read_only=True)
    start_date = serializers.DateTimeField(default=timezone.now)
    collaborators = CollaboratorSerializer(source="task_collaborators", many=True, read_only=True)
    created_by = PersonSerializer(read_only=True)
    updated_by = PersonSerializer(read_only=True)

    class Meta:
        model = Task
        fields = ["id", "key", "project", "parent_task", "title", "description", "priority", "status", "start_date",
                  "due_date", "completed_date", "collaborators", "created_by", "updated_by", "created_at", "updated_at",
                  "version"]

    def get_key(self, task):
        return f"{task.project.key}-{task.number}"

    def validate_project(self, project):
        if project.organization_id != self.context["request"].user.organization_id:
            raise serializers.ValidationError("not found")
        return project


class SingleTaskSerializer(TaskSerializer):
    subtasks = TaskSerializer(many=True, read_only=True)

    class Meta(TaskSerializer.Meta):
        fields = [*TaskSerializer.Meta.fields, "subtasks"]


class Pages(pagination.CursorPagination):
    page_size = 50
    ordering = ("start_date", "id")


def whole():
    """Tasks with all that is shown of them: one statement, and one for the collaborators of all of them."""
    return Task.objects.select_related("project", "created_by", "updated_by").prefetch_related(
        Prefetch("task_collaborators",
                 TaskCollaborator.objects.select_related("user", "added_by").order_by("added_at")))


class TaskList(generics.ListCreateAPIView):
    serializer_class = TaskSerializer
    pagination_class = Pages

    def get_queryset(self):
        return whole().filter(organization_id=self.request.user.organization_id)

    def perform_create(self, serializer):
        user = self.request.user
        with transaction.atomic():
            project = Project.objects.select_for_update().get(pk=serializer.validated_data["project"].pk)
            project.numbers += 1
            project.save(update_fields=["numbers"])
            serializer.save(organization_id=user.organization_id, project=project, number=project.numbers,
                            created_by=user, updated_by=user)


class TaskDetail(generics.RetrieveAPIView):
    serializer_class = SingleTaskSerializer

    def get_queryset(self):
        return whole().filter(organization_id=self.request.user.organization_id).prefetch_related(
            Prefetch("subtasks", whole().order_by("id")))
